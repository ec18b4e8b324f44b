"""A page: what one person is told over one channel, and what became of it (R2)."""

from dataclasses import dataclass
from enum import StrEnum

from codeblue.model.incident import Role, Severity


@dataclass(frozen=True, slots=True)
class Page:
    """One message to one role over one channel.

    Attributes:
        key: unique for (incident, level, cycle, role, channel), the same at every attempt: providers that take an
            idempotency key get it.
        incident: its id.
        level: "L1" … "L4"; "notice" for people who are told outside of the ladder (Security, Clinical lead); "test" for
            a page that only proves that it arrives; then `incident` is the id of that page.
        cycle: 0 for the first page of its level, more where it is repeated; a number of its own for what was asked for.
        role: whom it is for.
        severity: of the incident when the page was meant.
        summary: at most 200 characters, one line; typed facts only: no patient data, no free text of the service (B9).
        details: facts by name, for channels with room for them. Same rule.
        next_step: what the person should do, one line with the command.
        head: `seq:hash` of the record's last event, so that pages anchor the chain outside (B8).
    """

    key: str
    incident: str
    level: str
    cycle: int
    role: Role
    severity: Severity
    summary: str
    details: tuple[tuple[str, str], ...] = ()
    next_step: str = ""
    head: str = ""


class Fate(StrEnum):
    """What became of a page. UNKNOWN is not delivered, and not undelivered either: the next channel covers it."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Delivery:
    """A provider's own answer to one attempt.

    Attributes:
        reference: the provider's name for it (a dedup key, a message's timestamp, a file), "" without one.
        why: one line for people, without secrets.
    """

    fate: Fate
    reference: str = ""
    why: str = ""
