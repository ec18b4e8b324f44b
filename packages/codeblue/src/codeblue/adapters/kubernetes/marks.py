"""What we keep in the Deployment's metadata, where another machine finds it (B2, B3)."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime

from codeblue.model.release import Mark, Standing

#: Epoch of the lease's holder; each of our patches tests it. A label, because the API server counts a new generation
#: for every change of an annotation, and a lease that changes hands changes no specification.
EPOCH = "codeblue.dev/epoch"
#: Standings by release digest. Digests make it harmless that the controller copies annotations to ReplicaSets.
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
    """Marks from the annotation. What cannot be read is left out: an unreadable mark is no proof of anything."""
    try:
        raw = json.loads(text or "{}")
    except json.JSONDecodeError:
        return {}
    marks: dict[str, Mark] = {}
    for release, entry in raw.items() if isinstance(raw, dict) else ():
        try:
            at = datetime.fromisoformat(entry["at"]).astimezone(UTC)
            marks[release] = Mark(Standing(entry["standing"]), at, str(entry["by"]), str(entry["why"]))
        except (KeyError, ValueError, TypeError):
            continue
    return marks
