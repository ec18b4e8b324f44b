"""Who was paged, as documents and in words: for `incident show`, `incident list`, `page test` and the report (R2)."""

from collections.abc import Sequence
from typing import Any

from codeblue.model.event import Event
from codeblue.model.page import Fate
from codeblue.record.chain import plain
from codeblue.record.pages import Attempt, CallView, PagingView, fold_pages

_FATES = {Fate.ACCEPTED.value: "accepted", Fate.REFUSED.value: "refused", Fate.UNKNOWN.value: "unknown"}


def paging_of(events: Sequence[Event], incident: str) -> PagingView | None:
    """The paging of one incident among its events; None where it has none. Raises Damaged."""
    return fold_pages(events).get(incident)


def document(view: PagingView | None) -> dict[str, Any]:
    """For --json."""
    if view is None:
        return {"pages": [], "acknowledgements": []}
    return {
        "pages": [
            {
                "level": c.level,
                "cycle": c.cycle,
                "role": c.role,
                "state": c.state,
                "unrouted": c.unrouted,
                "attempts": [plain(a) for a in c.attempts],
            }
            for c in view.calls
        ],
        "acknowledgements": [{"level": a.level, "actor": a.actor, "at": plain(a.at)} for a in view.acks],
    }


def call_in_words(call: CallView) -> str:
    """One call: whom, at which level, over what, with which outcome."""
    again = f", page {call.cycle + 1}" if call.cycle and call.level.startswith("L") else ""
    who = f"{call.role} ({call.level}{again})"
    if not call.attempts:
        return f"{who}: NOT PAGED: {call.unrouted or 'no channel was tried'}"
    return f"{who}: {call.state}: {', then '.join(_attempt(a) for a in call.attempts)}"


def _attempt(attempt: Attempt) -> str:
    tries = f" in {attempt.tries} tries" if attempt.tries > 1 else ""
    fate = _FATES.get(attempt.state)
    if fate is None:
        return (
            f"{attempt.channel}: sent, no outcome yet" if attempt.state == "intended" else f"{attempt.channel}: again"
        )
    why = f" ({attempt.why})" if attempt.why and fate != "accepted" else ""
    return f"{attempt.channel} {fate}{tries}{why}"


def short(view: PagingView | None) -> str:
    """In a few words, for a list: "paged on_call, devops_lead; acknowledged (L1) by person:ada"; "" for nothing."""
    if view is None or not view.calls:
        return ""
    reached = list(dict.fromkeys(c.role for c in view.calls if c.delivered is not None))
    missed = [c.role for c in view.calls if c.delivered is None and c.role not in reached]
    said = [f"paged {', '.join(reached)}"] if reached else []
    said += [f"NOT REACHED: {', '.join(dict.fromkeys(missed))}"] if missed else []
    said += [f"acknowledged ({view.acks[-1].level}) by {view.acks[-1].actor}"] if view.acks else []
    return "; ".join(said)
