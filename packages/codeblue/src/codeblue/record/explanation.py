"""A decision with everything that it rests on, so that anybody can check it by hand (B4)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from codeblue.model.event import Event
from codeblue.model.health import Outcome
from codeblue.record.chain import plain
from codeblue.record.fields import reading, text
from codeblue.record.incidents import decision_in_words


@dataclass(frozen=True, slots=True)
class Judged:
    """The verdict of one trigger."""

    rule: str
    outcome: Outcome
    why: str
    pods: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Considered:
    """One thing that could be done.

    Attributes:
        action: its recorded name ("rollback_with_data").
    """

    action: str
    chosen: bool
    reasons_for: tuple[str, ...]
    reasons_against: tuple[str, ...]

    @property
    def words(self) -> str:
        """Its name for people."""
        return self.action.replace("_", " ")


@dataclass(frozen=True, slots=True)
class Explained:
    """One decision as it was recorded.

    Attributes:
        event: its number.
        mode: "observe", "ask", "act"; "" in records from before it was noted.
        said: the decision in words, with what follows from it.
        options: what was considered; only the chosen one in records from before options were noted.
        limits: how each limit of automatic rollbacks stood.
        releases: which releases were considered, and why they were passed over.
    """

    event: int
    at: datetime
    action: str
    mode: str
    said: str
    verdicts: tuple[Judged, ...]
    options: tuple[Considered, ...]
    pods: tuple[str, ...]
    limits: tuple[str, ...]
    releases: tuple[str, ...]

    @property
    def mode_unsaid(self) -> bool:
        """Whether there is a mode that the words do not name."""
        return bool(self.mode) and f"(mode {self.mode})" not in self.said


def explain(events: Iterable[Event], incident: str) -> tuple[Explained, ...]:
    """The decisions of an incident, oldest first: the last one stands. Raises Damaged: not what it must be."""
    found = []
    for event in events:
        if event.kind == "incident.decided" and event.incident == incident:
            with reading(event):
                found.append(_explained(event))
    return tuple(found)


def _explained(event: Event) -> Explained:
    d = event.data
    action = text(d, "action")
    options = tuple(_considered(o, action) for o in _items(d, "options"))
    if not options and "reasons_for" in d:
        options = (Considered(action, True, _texts(d, "reasons_for"), _texts(d, "reasons_against")),)
    return Explained(
        event=event.seq,
        at=event.at,
        action=action,
        mode=text(d, "mode") if "mode" in d else "",
        said=decision_in_words(plain(d)),
        verdicts=tuple(
            Judged(text(v, "rule"), Outcome(text(v, "outcome")), text(v, "why"), _texts(v, "pods"))
            for v in _items(d, "verdicts")
        ),
        options=options,
        pods=_texts(d, "pods"),
        limits=_texts(d, "limits"),
        releases=_texts(d, "releases"),
    )


def _considered(option: Mapping[str, Any], chosen: str) -> Considered:
    action = text(option, "action")
    return Considered(action, action == chosen, _texts(option, "reasons_for"), _texts(option, "reasons_against"))


def _items(data: Mapping[str, Any], key: str) -> tuple[Mapping[str, Any], ...]:
    items = data.get(key, ())
    if not isinstance(items, list | tuple) or not all(isinstance(i, Mapping) for i in items):
        raise TypeError(key)
    return tuple(items)


def _texts(data: Mapping[str, Any], key: str) -> tuple[str, ...]:
    items = data.get(key, ())
    if not isinstance(items, list | tuple) or not all(isinstance(i, str) for i in items):
        raise TypeError(key)
    return tuple(items)
