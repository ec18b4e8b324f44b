"""Incident reports as files in a directory: keeps `ports.reports.Reports`."""

import hashlib
import os
import tempfile
from pathlib import Path

from codeblue.model.errors import Refused, Unreachable
from codeblue.model.ids import is_id
from codeblue.ports.reports import Form, Kept


class ReportDirectory:
    """One file an incident and form, named by the incident's id alone (D51), written beside and then renamed."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def save(self, incident: str, form: Form, text: str) -> Kept:
        path = self._path(incident, form)
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            _replace(path, text.encode())
        except OSError as error:
            raise _unreachable(path, "written", error) from error
        kept = self.find(incident, form)
        if kept is None:
            raise Unreachable(f"The report {path} is not there after it was written.", remedy=_REMEDY)
        return kept

    def find(self, incident: str, form: Form) -> Kept | None:
        path = self._path(incident, form)
        try:
            return Kept(str(path), hashlib.sha256(path.read_bytes()).hexdigest())
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _unreachable(path, "read", error) from error

    def _path(self, incident: str, form: Form) -> Path:
        if not is_id(incident):
            raise Refused(f"{incident!r} is no id of an incident.", remedy="`codeblue incident list` shows them.")
        return self._directory / f"{incident}.{form.value}"


_REMEDY = "Free the disk or set report.directory; then `codeblue incident report`."


def _replace(path: Path, content: bytes) -> None:
    """Write beside and rename: whoever reads finds the old file or the new one. Raises OSError, and leaves no rest."""
    handle, beside = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(beside).replace(path)
    except OSError:
        Path(beside).unlink(missing_ok=True)
        raise


def _unreachable(path: Path, what: str, error: OSError) -> Unreachable:
    return Unreachable(f"The report {path} could not be {what}: {error.strerror}.", remedy=_REMEDY)
