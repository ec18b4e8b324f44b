"""Where the record of a profile is, without validating the profile again: `codeblue status` has to start at once.

A validated profile leaves a note under the user's cache directory: the digest of its bytes, and what was read from it.
The note counts only while the file has that digest; without one the profile is loaded as ever. Imports nothing heavy.
"""

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Pointer:
    """What `status` needs of a profile.

    Attributes:
        record: the SQLite file of the record; "" where the record is in PostgreSQL.
        kind, where, name: whose record it is (`model.target.Target`).
    """

    service: str
    record: str
    kind: str
    where: str
    name: str


def read_pointer(profile: Path) -> Pointer | None:
    """The note for this very content of the file, None if there is none."""
    try:
        note = json.loads(_note(profile).read_text("utf-8"))
        if note.pop("sha256") != _digest(profile):
            return None
        return Pointer(**note)
    except (OSError, RuntimeError, ValueError, KeyError, TypeError):
        return None


def write_pointer(profile: Path, pointer: Pointer) -> None:
    """Leave the note. A cache that cannot be written only costs the next start some time."""
    try:
        note = _note(profile)
        note.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        beside = note.with_suffix(f".{os.getpid()}")
        beside.write_text(json.dumps({**asdict(pointer), "sha256": _digest(profile)}), "utf-8")
        beside.replace(note)
    except (OSError, RuntimeError):  # RuntimeError: no home directory is known
        return


def _note(profile: Path) -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    name = hashlib.sha256(os.fsencode(profile.absolute())).hexdigest()[:32]
    return cache / "codeblue" / f"{name}.json"


def _digest(profile: Path) -> str:
    return hashlib.sha256(profile.read_bytes()).hexdigest()
