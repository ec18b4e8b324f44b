"""A status page in memory: keeps `ports.status_page.StatusPage`."""

from dataclasses import dataclass, field, replace

from codeblue.model.errors import CodeBlueError, Unreachable
from codeblue.ports.status_page import Entry, Posted


@dataclass
class MemoryPage:
    """The page itself: it outlives the process that posts.

    Attributes:
        fails: raised by the next calls in this order; None lets one pass.
        cuts: how many of the next posts and updates are taken, with their answer lost.
        entries: by id.
        told: (incident, status) of every message that was taken.
        asked: names of all calls.
    """

    fails: list[CodeBlueError | None] = field(default_factory=list)
    cuts: int = 0
    entries: dict[str, Entry] = field(default_factory=dict)
    told: list[tuple[str, Posted]] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)


class MemoryStatusPage:
    """One process's way to a `MemoryPage`."""

    def __init__(self, page: MemoryPage) -> None:
        self.page = page

    async def find(self, incident: str) -> Entry | None:
        """See `StatusPage.find`."""
        self._ask("find")
        return next((e for e in self.page.entries.values() if e.incident == incident), None)

    async def post(self, incident: str, status: Posted, text: str) -> Entry:
        """See `StatusPage.post`."""
        self._ask("post")
        number = len(self.page.entries) + 1
        return self._keep(Entry(f"e{number}", incident, status, f"https://status.hospital.org/e{number}"), text)

    async def update(self, entry: Entry, status: Posted, text: str) -> Entry:
        """See `StatusPage.update`."""
        self._ask("update")
        return self._keep(replace(self.page.entries[entry.id], status=status), text)

    async def close(self) -> None:
        """See `StatusPage.close`."""

    def _ask(self, what: str) -> None:
        self.page.asked.append(what)
        error = self.page.fails.pop(0) if self.page.fails else None
        if error is not None:
            raise error

    def _keep(self, entry: Entry, text: str) -> Entry:
        self.page.entries[entry.id] = entry
        self.page.told.append((entry.incident, entry.status))
        self.page.texts.append(text)
        if self.page.cuts:
            self.page.cuts -= 1
            raise Unreachable("The page in memory lost its answer.", delay_s=1.0)
        return entry
