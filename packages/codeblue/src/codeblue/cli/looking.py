"""Opening a record to look at it: that never makes one, and whoever finds nothing is told where was looked."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from codeblue.cli.actor import login
from codeblue.model.errors import NotFound, Unreachable

if TYPE_CHECKING:
    from codeblue.ports.record import RecordStore
    from codeblue.profile.model import Profile

#: So many other records are named at most.
OTHERS = 5


@dataclass(frozen=True, slots=True)
class Sight:
    """What there is to look at.

    Attributes:
        record: None where there is none.
        place: where it is, or would be.
        others: other records of the same service below this login's home, where there is none here.
    """

    record: "RecordStore | None"
    place: str
    others: tuple[str, ...] = ()

    @property
    def missing(self) -> str:
        """That there is none, and what that means, in one sentence without its end."""
        there = f"; other records of this service are {', '.join(self.others)}" if self.others else ""
        return f"there is no record in {self.place} yet, nothing acted with this profile as {login()}{there}"

    def nothing(self, what: str) -> str:
        """That there are none of these."""
        return f"No {what}: {self.missing}." if self.record is None else f"No {what} in the record {self.place}."

    def need(self, what: str) -> "RecordStore":
        """The record.

        Args:
            what: what cannot be done without one, as the beginning of a sentence: "There is no run X".

        Raises:
            NotFound: there is none.
        """
        if self.record is None:
            raise NotFound(
                f"{what}: {self.missing}.",
                remedy="Use the login and the profile (state.directory, state.database) that Code Blue acts with.",
            )
        return self.record


def look(profile: "Profile") -> Sight:
    """The record of a profile. Raises as `wiring.open_record`."""
    from codeblue.wiring import open_record, record_place

    return absent(profile) or Sight(open_record(profile), record_place(profile))


def absent(profile: "Profile") -> Sight | None:
    """What is said where there is no record; None where there is one. A database has one as soon as it is opened.

    Raises:
        Unreachable: this login may not look.
    """
    from codeblue.wiring import record_file

    file = record_file(profile)
    if profile.state.database is not None or is_there(file):
        return None
    return Sight(None, str(file), others(profile.service, file))


def is_there(file: Path) -> bool:
    """Whether there is such a file. Raises Unreachable where this login may not know."""
    try:
        file.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise Unreachable(
            f"The record {file} cannot be looked at as {login()}: {error.strerror}. Nothing was changed.",
            remedy="Use the login that Code Blue acts with, or give this one the right to its state.directory.",
        ) from error
    return True


def others(service: str, but: Path) -> tuple[str, ...]:
    """Records of the service where profiles that name no state.directory have theirs."""
    base = Path("~/.local/state/codeblue").expanduser() / service
    try:
        found = sorted(file for pattern in ("record.db", "*/record.db") for file in base.glob(pattern) if file != but)
    except OSError:
        return ()
    return tuple(str(file) for file in found[:OTHERS])
