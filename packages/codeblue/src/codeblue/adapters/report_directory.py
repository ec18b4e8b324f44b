"""Incident reports as Markdown files in a directory: keeps `ports.reports.Reports`."""

import os
import tempfile
from pathlib import Path

from codeblue.model.errors import Unreachable
from codeblue.model.ids import is_id


class ReportDirectory:
    """One file an incident, named by its id alone (D51), written beside and then renamed."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def save(self, incident: str, text: str) -> Path:
        if not is_id(incident):
            raise ValueError(f"{incident!r} is no id of an incident")
        path = self._directory / f"{incident}.md"
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile("w", dir=self._directory, delete=False, encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            Path(file.name).replace(path)
        except OSError as error:
            raise Unreachable(
                f"The report {path} could not be written: {error.strerror}.",
                remedy="Free the disk or set report.directory; then `codeblue incident report`.",
            ) from error
        return path
