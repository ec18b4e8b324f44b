"""What every place for reports owes (ports/reports.py); adapters subclass it and give a fixture."""
# ruff: noqa: S101 - a contract suite is made of asserts

import hashlib

import pytest

from codeblue.model.errors import Refused
from codeblue.ports.reports import Form, Reports

ONE, OTHER = "inc-20260105t030000z-bbbbbb", "inc-20260105t030000z-cccccc"


class ReportsContract:
    """The suite. Every test gets a place of its own, empty."""

    @pytest.fixture
    def reports(self) -> Reports:
        """The place under test."""
        raise NotImplementedError

    @pytest.mark.parametrize("form", Form)
    def test_what_was_saved_is_found_with_the_digest_of_its_bytes(self, reports: Reports, form: Form) -> None:
        assert reports.find(ONE, form) is None
        kept = reports.save(ONE, form, "ß → 漢字 🩺\n")
        assert kept.sha256 == hashlib.sha256("ß → 漢字 🩺\n".encode()).hexdigest()
        assert reports.find(ONE, form) == kept

    @pytest.mark.defect("D51")
    def test_a_report_replaces_only_that_of_its_own_incident_and_form(self, reports: Reports) -> None:
        before = {(i, f): reports.save(i, f, f"{i} {f}") for i in (ONE, OTHER) for f in Form}
        assert len({kept.place for kept in before.values()}) == 4
        again = reports.save(ONE, Form.HTML, "a later one")
        assert again.place == before[ONE, Form.HTML].place
        assert again.sha256 != before[ONE, Form.HTML].sha256
        for key, kept in before.items():
            assert reports.find(*key) == (again if key == (ONE, Form.HTML) else kept)

    @pytest.mark.defect("D51")
    @pytest.mark.parametrize("id_", ["../../etc/passwd", "a/b", "", ".", "..", f"{ONE}/x", f"../{ONE}", f"{ONE}\0"])
    def test_what_is_no_id_never_becomes_a_place(self, reports: Reports, id_: str) -> None:
        with pytest.raises(Refused):
            reports.save(id_, Form.MARKDOWN, "x")
        with pytest.raises(Refused):
            reports.find(id_, Form.MARKDOWN)
