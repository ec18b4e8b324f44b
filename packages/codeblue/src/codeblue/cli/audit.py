"""`codeblue audit`: is the record whole, and whose is it?"""

from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from codeblue.cli.frame import Common, show, untouched
from codeblue.model.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from codeblue.model.event import Event
    from codeblue.ports.record import RecordStore
    from codeblue.profile.model import Profile

_DEFAULT = Common()

#: Events that are read at once.
PAGE = 500
#: Digits of a SHA-256.
HASH_DIGITS = 64

app = App(name="audit", help="Verify the chain of the record; adopt it under another name of its target.")


@app.command
@untouched()
def verify(*, head: str = "", common: Common = _DEFAULT) -> int:
    """Compute the hash of every event anew and follow the chain (B8).

    The chain shows that no event was altered, left out or moved. It cannot show that events were cut off its end, or
    that all of it was written anew by somebody who knows how: for that, keep a head where others cannot reach it, and
    give it as --head. Incident reports name one each.

    Exit 0 when it is whole, also where no event is in it yet; 1 where it is broken, or does not hold the head that was
    given; 3 where there is no record: then nothing was verified.

    Parameters
    ----------
    head
        The head of an earlier day, 64 hexadecimal digits: the chain must still hold it.
    """
    wanted = _hash(head)
    profile = common.load()
    store, place = _store(profile, "Nothing was verified")
    found: list[int] = []
    count, last, broken = follow(store, lambda event: found.append(event.seq) if event.hash == wanted else None)
    document: dict[str, Any] = {"schema": "codeblue/audit/1", "record": place, "events": count, "head": last}
    document |= {"broken": broken}
    if wanted:
        document["earlier"] = {"head": wanted, "event": found[0] if found else None}
    if broken:
        show(common, document, f"BROKEN: {broken}. Keep the record {place} as it is, it is evidence.")
        return 1
    if wanted and not found:
        text = (
            f"NOT THE SAME RECORD: its {count} events are chained, but none of them has the head {wanted}. Events were "
            "cut off its end, it was written anew, or the head is another record's. Keep the record "
            f"{place} as it is, it is evidence; compare it with a backup."
        )
        show(common, document, text)
        return 1
    if not count:
        show(
            common,
            document,
            f"Empty: the record {place} holds no event of {profile.service}, there is nothing to verify.",
        )
        return 0
    lines = [f"Whole: {count} events, head {last}", "As the chain has it, no event was altered, left out or moved."]
    if found:
        lines.append(
            f"The head that you gave is that of event {found[0]}: nothing up to there was cut off or replaced."
        )
    else:
        lines += [
            "Whether events were cut off the end, or all of it was written anew, a chain alone does not show.",
            "Keep this head where others cannot reach it; later this tells whether the record still holds it:",
            f"  codeblue audit verify --head {last}",
        ]
    show(common, document, "\n".join(lines))
    return 0


@app.command
def adopt(*, reason: Annotated[str, Parameter(required=True)], common: Common = _DEFAULT) -> int:
    """Say that the record belongs to the profile's target: it is one that the record knows under another name.

    A record belongs to the target that first acted with it, and is refused to others. After a context was renamed, a
    directory moved or the authority of a cluster replaced, the target is the same and only called otherwise.

    Parameters
    ----------
    reason
        Why it is the same; it is recorded. No patient data.
    """
    from codeblue.cli.actor import actor_name
    from codeblue.cli.words import sentence
    from codeblue.model.event import Draft
    from codeblue.record.claims import ADOPTED, CLAIM_KINDS, targets_of
    from codeblue.wiring import target_of

    why = sentence(reason, "--reason")
    profile = common.load()
    store, place = _store(profile, "Nothing was adopted")
    target = target_of(profile)
    owners = targets_of(store.read(kinds=CLAIM_KINDS))
    known = any(owner.same_as(target) for owner in owners)
    if not known:
        store.append(Draft(ADOPTED, actor_name(), {**target.plain(), "reason": why}))
        owners = (*owners, target)
    text = f"The record {place} belongs to {target.text}{' already' if known else ''}."
    if len(owners) > 1:
        text += f" It is known as {', and as '.join(owner.text for owner in owners)}."
    show(common, {"schema": "codeblue/adopted/1", "record": place, "targets": [o.plain() for o in owners]}, text)
    return 0


def follow(store: "RecordStore", passing: "Callable[[Event], object]" = lambda _: None) -> tuple[int, str, str | None]:
    """Follow the chain from its first event.

    Args:
        passing: gets every event that is whole, once.

    Returns:
        how many events are whole, the hash of the last of them, and where the chain is broken (None when it is not).
    """
    from codeblue.model.errors import Damaged
    from codeblue.record.chain import GENESIS, broken_at

    count, seq, head, page = 0, 0, GENESIS, PAGE
    while True:
        try:
            events = store.read(after=seq, limit=page)
            broken = broken_at(events, previous=head, seq=seq)
        except Damaged as damage:
            events, broken = (), damage.what
        if broken and page > 1:
            page = 1  # one at a time up to the first that is broken; one that cannot be read may come after it
            continue
        if broken or not events:
            return count, head, broken
        for event in events:
            passing(event)
        count, seq, head = count + len(events), events[-1].seq, events[-1].hash


def _hash(text: str) -> str:
    """A head as it is compared; "" where none is asked for. Raises UsageError for what cannot be one."""
    head = text.strip().lower()
    if head and (len(head) != HASH_DIGITS or not set(head) <= set("0123456789abcdef")):
        raise UsageError(
            f"--head is not {HASH_DIGITS} hexadecimal digits, so no event can have it. Nothing was verified.",
            remedy="Give the whole head, as `codeblue audit verify` or an incident's report says it.",
        )
    return head


def _store(profile: "Profile", what: str) -> "tuple[RecordStore, str]":
    """The record, whosever it is: to be verified it need not be ours. Raises NotFound where there is none."""
    from codeblue.cli.looking import absent
    from codeblue.wiring import open_store, record_place

    sight = absent(profile)
    if sight is not None:
        sight.need(what)
    return open_store(profile), record_place(profile)
