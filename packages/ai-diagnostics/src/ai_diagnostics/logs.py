"""One JSON line per event on the service's standard output. Only fields that a caller names are written: no PHI (B9).

Free text never gets here: no bodies, no query strings, no exception messages (they quote the input that caused
them), and routes by template, so that an identifier in a path is not written either.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from datetime import UTC, datetime

Field = str | int | float | bool | None

_constant: dict[str, Field] = {}
_stream = {"name": "stdout"}


def to_stderr() -> None:
    """Write to standard error from now on: an operator command's standard output is its answer."""
    _stream["name"] = "stderr"


def always(**fields: Field) -> None:
    """Add fields to every later line of this process and of its children (pod, version)."""
    _constant.update(fields)


def log(event: str, **fields: Field) -> None:
    """Write one event, flushed at once, in a single write so that lines of several processes do not mix."""
    line = {"ts": datetime.now(UTC).isoformat(timespec="milliseconds"), "event": event, "pid": os.getpid()}
    stream = sys.stderr if _stream["name"] == "stderr" else sys.stdout
    stream.write(json.dumps({**line, **_constant, **fields}) + "\n")
    stream.flush()


def where(error: BaseException) -> dict[str, Field]:
    """Name an error by its type and place only, because its message may quote a patient's data."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f"{frames[-1].name}:{frames[-1].lineno}" if frames else "?"
    return {"error": type(error).__name__, "at": place}
