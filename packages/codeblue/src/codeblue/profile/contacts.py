"""People who are reached in an emergency, and why a placeholder is not one of them (R2, D21).

A page to a number that nobody has is worse than no page: it looks sent.
"""

import re
from itertools import pairwise
from typing import Annotated, Final

from pydantic import BeforeValidator, Field, WithJsonSchema

from codeblue.profile.refusal import refusal
from codeblue.profile.section import Section
from codeblue.profile.text import plain

_E164: Final = re.compile(r"\+[1-9]\d{6,14}", re.ASCII)
_PHONE_REMEDY: Final = 'write a number that somebody answers, in E.164 form and quotes: "+", country code, digits only'
_EMAIL: Final = re.compile(
    r"[A-Za-z0-9._%+'-]{1,64}@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]{2,63}"
)
_EMAIL_REMEDY: Final = "write an address that somebody reads, or delete the key"
#: RFC 2606 and RFC 6761: names that never reach anybody.
_NO_DOMAIN: Final = re.compile(r"(^|[@.])(example\.(com|org|net|edu)|example|test|invalid|localhost|local)$")
#: Numbers set aside for films and documents: NANP 555-01xx and area code 555, Ofcom's drama numbers.
_FICTION: Final = re.compile(
    r"\+?1?(\d{3})?55501\d\d|\+1555\d{7}"
    r"|\+44(1\d\d4960\d{3}|2079460\d{3}|2890180\d{3}|2920180\d{3}|1632960\d{3}|7700900\d{3}|8081570\d{3})"
)
#: Six equal digits, a pair four times, a longer block three times.
_REPEATED: Final = re.compile(r"(\d)\1{5}|(\d{2})\2{3}|(\d{3,5})\3{2}")
_NANP: Final = re.compile(r"\+1[2-9]\d{2}[2-9]\d{6}")
_NO_NAMES: Final = frozenset(
    (
        *("name", "your name", "full name", "first last", "firstname lastname", "john doe", "jane doe", "person"),
        *("max mustermann", "erika mustermann", "someone", "somebody", "nobody", "unknown", "none", "null", "test"),
        *("example", "undefined", "contact"),
    )
)


def _stepwise(digits: str, step: int, length: int) -> bool:
    """Whether somewhere `length` digits in a row each follow the one before by `step` (modulo 10)."""
    run = 1
    for before, after in pairwise(digits):
        run = run + 1 if (int(after) - int(before)) % 10 == step % 10 else 1
        if run >= length:
            return True
    return False


def parse_phone(value: object) -> str:
    """A telephone number in E.164 form.

    Raises:
        PydanticCustomError: for another form, and for numbers that nobody has: letters in the place of digits,
            555-0100 and its like, six equal or seven consecutive digits, a block that only repeats.
    """
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        raise refusal("is a number without quotes, and so loses its '+'", _PHONE_REMEDY)
    text = plain(value, "a phone number", "+" + "(country code)(number)")
    if len(text) > 60:
        raise refusal("is not a phone number in E.164 form", _PHONE_REMEDY)
    if re.search(r"[A-Za-z]", text):
        raise refusal("is a placeholder: letters stand for digits", _PHONE_REMEDY)
    digits = re.sub(r"\D", "", text)
    dialled = "+" + digits
    if (
        _FICTION.fullmatch(dialled)
        or (text.startswith("+1") and not _NANP.fullmatch(dialled))
        or _REPEATED.search(digits)
        or _stepwise(digits, 1, 7)
        or _stepwise(digits, -1, 7)
    ):
        raise refusal("is a placeholder: nobody has this number", _PHONE_REMEDY)
    if not _E164.fullmatch(text):
        raise refusal("is not a phone number in E.164 form", _PHONE_REMEDY)
    return text


def _email(value: object) -> str:
    text = plain(value, "an e-mail address", "(somebody)@(your domain)")
    if not _EMAIL.fullmatch(text) or len(text) > 254:
        raise refusal("is not an e-mail address", _EMAIL_REMEDY)
    if _NO_DOMAIN.search(text.lower()):
        raise refusal("is a placeholder: its domain never receives mail", _EMAIL_REMEDY)
    return text


def _person(value: object) -> str:
    example = "the person's or rota's name"
    text = plain(value, "the name of a person or rota", example)
    if text.lower() in _NO_NAMES:
        raise refusal("is a placeholder", f"write {example}")
    if len(text) > 200:
        raise refusal("is longer than 200 characters", f"write {example}")
    return text


class Contact(Section):
    """Somebody who is reached at any hour."""

    name: Annotated[str, BeforeValidator(_person), WithJsonSchema({"type": "string", "minLength": 1})] = Field(
        description="Name of the person or of the rota behind the number."
    )
    phone: (
        Annotated[
            str, BeforeValidator(parse_phone), WithJsonSchema({"type": "string", "pattern": r"^\+[1-9]\d{6,14}$"})
        ]
        | None
    ) = Field(
        default=None,
        description='Phone number in E.164 form, quoted: "+" and digits only. Placeholders are refused (R2). Required, '
        "unless pages.inbox is the only channel.",
    )
    email: (
        Annotated[str, BeforeValidator(_email), WithJsonSchema({"type": "string", "pattern": "^[^@ ]+@[^@ ]+$"})] | None
    ) = Field(default=None, description="E-mail address, or null.")


class Contacts(Section):
    """Who is called: the document's five contacts, and the four people that its levels name without one (R2, R3)."""

    on_call: Contact | None = Field(default=None, description="The engineer on call, 24/7 (level 1).")
    devops_lead: Contact | None = Field(default=None, description="DevOps lead (level 2).")
    ai_team: Contact | None = Field(default=None, description="AI/ML engineer (level 2).")
    security: Contact | None = Field(default=None, description="Security team (security triggers).")
    clinical_lead: Contact | None = Field(
        default=None, description="Clinical lead (patient safety, corruption, AI features switched off)."
    )
    cto: Contact | None = Field(default=None, description="CTO (level 3).")
    clinical_director: Contact | None = Field(default=None, description="Clinical director (level 3).")
    ceo: Contact | None = Field(default=None, description="CEO (level 4, critical patient safety).")
    cmo: Contact | None = Field(default=None, description="Chief Medical Officer (level 4).")
