"""A number or address that reaches nobody is refused before an emergency needs it (R2)."""

import pytest
from tests.unit.profile.faults import LOCAL

from codeblue.profile.load import ProfileError, load_text

PHONES = [
    "+1-XXX-XXX-XXXX", "+1-555-0100", "555-0100", "+15550100", "+12125550100", "+12125550199", "+15551234567",
    "+10000000000", "+11111111111", "+49000000000", "+12345678901", "+4912345678", "+4998765432", "+49121212121",
    "+49123123123", "+447700900123", "+442079460123", "TODO", "[PHONE]", "<phone>", "changeme", "+", "", "112",
    "0049 30 227715", "+49 30 2270 715", "+0301234987", "+4930227715000000", "+49302277a5", "tel:+4930227715",
    "+1-800-CALL-NOW", "+1 123 456 7890",
]  # fmt: skip
EMAILS = [
    "oncall@example.com", "oncall@ops.example.com", "oncall@example.org", "a@hospital.example", "a@hospital.test",
    "a@localhost", "a@b.invalid", "TODO", "changeme", "[email]", "a", "a@", "@hospital.org", "a b@hospital.org",
    "a@hospital", "a@b@hospital.org", "<a@hospital.org>", "a@-hospital.org",
]  # fmt: skip
NAMES = [
    "TODO", "TBD", "[NAME]", "[TO BE FILLED]", "<name>", "changeme", "CHANGE_ME", "Your name", "John Doe", "jane doe",
    "XXX", "…", "N/A", "{{ name }}", "${NAME}", "name", "", " ", "FIXME: who?",
]  # fmt: skip


def contact(**fields: str) -> str:
    given = {"name": "Ada Berg", "phone": "+21068317524", "email": "ada@hospital.org"} | fields
    return LOCAL + "contacts:\n  on_call:\n" + "".join(f"    {key}: '{value}'\n" for key, value in given.items())


def test_a_reachable_person_is_accepted() -> None:
    assert load_text(contact()).contacts is not None
    for phone in ("+12029837146", "+493022771563", "+41446683071", "+442038917264", "+2106831", "+210683175240139"):
        assert load_text(contact(phone=phone)).contacts is not None
    for name in ("Ops rota, 24/7", "Şule Öztürk", "Dr. O'Neill", "李雷", "Todora Ivanova"):
        assert load_text(contact(name=name.replace("'", "''"))).contacts is not None
    for email in ("oncall+codeblue@hospital.org", "a.b@sub.hospital.ch", "test@exampleclinic.org"):
        assert load_text(contact(email=email)).contacts is not None


@pytest.mark.done(8)
@pytest.mark.parametrize(
    ("key", "line", "value"),
    [("name", 8, v) for v in NAMES] + [("phone", 9, v) for v in PHONES] + [("email", 10, v) for v in EMAILS],
)
def test_placeholders_are_refused_where_they_stand(key: str, line: int, value: str) -> None:
    with pytest.raises(ProfileError) as caught:
        load_text(contact(**{key: value}))
    [problem] = caught.value.problems
    assert (problem.line, problem.path) == (line, f"contacts.on_call.{key}")
    assert problem.remedy


def test_the_documents_template_is_refused_as_a_whole() -> None:
    """The document's own table of contacts, as it was printed."""
    with pytest.raises(ProfileError) as caught:
        load_text(
            LOCAL + "contacts:\n"
            '  on_call: {name: On-call, phone: "+1-XXX-XXX-XXXX"}\n'
            "  devops_lead: {name: '[NAME]', phone: '+1-555-0100', email: devops-lead@example.com}\n"
        )
    assert len(caught.value.problems) == 4
