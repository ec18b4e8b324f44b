"""Incident reports as Markdown files in a directory: keeps `ports.reports.Reports`."""

import hashlib
import os
import tempfile
from pathlib import Path

from codeblue.model.errors import Refused, Unreachable
from codeblue.model.ids import is_id
from codeblue.ports.reports import Kept


class ReportDirectory:
    """One file an incident, named by its id alone (D51), written beside and then renamed."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def save(self, incident: str, text: str) -> Kept:
        path = self._path(incident)
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile("w", dir=self._directory, delete=False, encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            Path(file.name).replace(path)
        except OSError as error:
            raise _unreachable(path, "written", error) from error
        return Kept(str(path), hashlib.sha256(text.encode()).hexdigest())

    def find(self, incident: str) -> Kept | None:
        path = self._path(incident)
        try:
            return Kept(str(path), hashlib.sha256(path.read_bytes()).hexdigest())
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _unreachable(path, "read", error) from error

    def _path(self, incident: str) -> Path:
        if not is_id(incident):
            raise Refused(f"{incident!r} is no id of an incident.", remedy="`codeblue incident list` shows them.")
        return self._directory / f"{incident}.md"


def _unreachable(path: Path, what: str, error: OSError) -> Unreachable:
    return Unreachable(
        f"The report {path} could not be {what}: {error.strerror}.",
        remedy="Free the disk or set report.directory; then `codeblue incident report`.",
    )
