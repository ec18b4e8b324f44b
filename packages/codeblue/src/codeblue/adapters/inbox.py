"""Pages as files of a directory on this machine: keeps `ports.channel.Channel`. For trying things out, and for tests.

One JSON file a page, named by a digest of its key and written beside and then renamed: the same page is one file
however often it is sent. Nobody is woken by it.
"""

import asyncio
import hashlib
import json
import os
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from codeblue.model.errors import Unreachable
from codeblue.model.incident import Level
from codeblue.model.page import Delivery, Fate, Page


class Inbox:
    """The directory as a channel; it is the same for all roles."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    @property
    def name(self) -> str:
        return "inbox"

    @property
    def keyed(self) -> bool:
        return True

    def reaches(self, page: Page) -> bool:
        """See `Channel.reaches`: everybody has access to the directory."""
        return True

    async def send(self, page: Page) -> Delivery:
        """See `Channel.send`."""
        file = self._directory / f"{_name(page.key)}.json"
        await asyncio.to_thread(self._write, file, page)
        return Delivery(Fate.ACCEPTED, file.name)

    async def settle(self, incident: str, *, acknowledged: Level | None) -> None:
        """See `Channel.settle`: a file beside the incident's pages says so."""
        if not await asyncio.to_thread(self._knows, incident):
            return
        state = "over" if acknowledged is None else "acknowledged"
        file = self._directory / f"{_name(incident)}.{state}"
        level = {} if acknowledged is None else {"level": acknowledged.name}
        await asyncio.to_thread(self._put, file, {"incident": incident, "state": state, **level})

    async def close(self) -> None:
        """See `Channel.close`."""

    def _write(self, file: Path, page: Page) -> None:
        if file.exists():
            return  # the same page: its first sending counts
        document = {
            "key": page.key,
            "incident": page.incident,
            "level": page.level,
            "cycle": page.cycle,
            "role": page.role.value,
            "severity": page.severity.text,
            "summary": page.summary,
            "details": dict(page.details),
            "next_step": page.next_step,
            "head": page.head,
            "at": datetime.now(UTC).isoformat(),
        }
        self._put(file, document)

    def _put(self, file: Path, document: dict[str, Any]) -> None:
        temporary = ""
        try:
            self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            with tempfile.NamedTemporaryFile("w", dir=self._directory, delete=False, encoding="utf-8") as stream:
                temporary = stream.name
                json.dump(document, stream, ensure_ascii=False)
                stream.flush()
                os.fsync(stream.fileno())
            Path(temporary).replace(file)
        except OSError as error:
            if temporary:
                Path(temporary).unlink(missing_ok=True)
            raise Unreachable(
                f"The inbox {self._directory} cannot be written: {error.strerror}.",
                remedy="Free the disk, or set pages.inbox to another place.",
                delay_s=1.0,
            ) from error

    def _knows(self, incident: str) -> bool:
        return any(p["incident"] == incident for p in read_inbox(self._directory))


def read_inbox(directory: Path) -> list[dict[str, Any]]:
    """The pages in a directory, in the order in which they came; a file that is none of ours is left out."""
    pages = []
    for file in directory.glob("*.json"):
        try:
            page, came = json.loads(file.read_text("utf-8")), file.stat().st_mtime_ns
        except (OSError, ValueError, RecursionError):
            continue
        if isinstance(page, dict) and isinstance(page.get("at"), str) and isinstance(page.get("incident"), str):
            pages.append((came, page))
    return [page for _, page in sorted(pages, key=lambda p: p[0])]


def _name(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()[:32]
