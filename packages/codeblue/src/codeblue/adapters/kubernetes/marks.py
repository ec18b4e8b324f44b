"""What we keep in the Deployment's metadata, where another machine finds it (B2, B3)."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import MAXYEAR, UTC, datetime, timedelta

from codeblue.model.release import Mark, Standing

#: Epoch of the lease's holder; each of our patches tests it. A label, because the API server counts a new generation
#: for every change of an annotation, and a lease that changes hands changes no specification.
EPOCH = "codeblue.dev/epoch"
#: Standings by release digest. The controller copies them to the current ReplicaSet, and `kubectl rollout undo` brings
#: a ReplicaSet's copy back over the Deployment's: an old state of them, in which a later quarantine is missing. So the
#: copies are all read, and of each release the newest mark counts (`newest`).
MARKS = "codeblue.dev/marks"
#: The run that last changed the template.
RUN = "codeblue.dev/run"
#: The strategy that an all-at-once replacement set aside, to be put back, also after a crash.
STRATEGY = "codeblue.dev/former-strategy"

#: The newest marks that are kept; annotations share 256 KiB, and a mark takes about 200 bytes.
LIMIT = 50


def encode_marks(marks: Mapping[str, Mark]) -> str:
    """The newest `LIMIT` marks as compact JSON."""
    newest = sorted(marks.items(), key=lambda item: item[1].at)[-LIMIT:]
    return json.dumps(
        {
            release: {"standing": m.standing.value, "at": m.at.isoformat(), "by": m.by, "why": m.why}
            for release, m in newest
        },
        separators=(",", ":"),
        sort_keys=True,
    )


def decode_marks(text: str) -> dict[str, Mark]:
    """Marks from the annotation, which anybody may have written. Never raises.

    What cannot be read is left out: an unreadable mark is no proof of anything.
    """
    raw = read_json(text)
    marks: dict[str, Mark] = {}
    for release, entry in raw.items() if isinstance(raw, dict) else ():
        try:
            at = datetime.fromisoformat(entry["at"])
            at = at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
            mark = Mark(Standing(entry["standing"]), at, _line(entry["by"]), _line(entry["why"]))
        except (KeyError, ValueError, TypeError, OverflowError):
            continue
        if at.year < MAXYEAR and release.isprintable():  # a later mark of it must have a time
            marks[release] = mark
    return marks


def newest(copies: Iterable[Mapping[str, Mark]]) -> dict[str, Mark]:
    """Of each release its newest mark among these copies; of two at the same time the bad one."""
    found: dict[str, Mark] = {}
    for marks in copies:
        for release, mark in marks.items():
            there = found.get(release)
            if there is None or _weight(mark) > _weight(there):
                found[release] = mark
    return found


def added(seen: Mapping[str, Mark], marks: Mapping[str, Mark]) -> dict[str, Mark]:
    """The marks seen with new ones in their place, each later than the one it replaces even if our clock is slow."""
    second = timedelta(seconds=1)
    new = {r: replace(m, at=max(m.at, seen[r].at + second)) if r in seen else m for r, m in marks.items()}
    return {**seen, **new}


def read_json(text: str) -> object:
    """JSON that anybody may have written; None where it cannot be read, however it is broken."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):  # no JSON, a number without end; nested without end
        return None


def _weight(mark: Mark) -> tuple[datetime, bool]:
    return mark.at, mark.standing is Standing.BAD


def _line(value: object) -> str:
    """Text for messages and records: no control characters, nothing that UTF-8 cannot carry."""
    return (
        "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in value) if isinstance(value, str) else ""
    )
