"""A channel in memory that answers as a test says: keeps `ports.channel.Channel`."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from codeblue.model.errors import Temporary, Unreachable
from codeblue.model.incident import Level, Role
from codeblue.model.page import Delivery, Fate, Page
from codeblue.ports.clock import Clock

#: How long a provider that never answers is waited for; the port's limit.
GIVES_UP_S = 10.0


@dataclass
class MemoryProvider:
    """The other end of the wire: it outlives the process that pages, as a real one does.

    Attributes:
        way: how it answers: "accept", "refuse", "busy", "down", "cut", "hang"; or a function of the page that says so.
        pages: what people have; of a keyed provider each key once.
        requests: every attempt that reached it, a refused one too.
        settled: (incident, the highest level that was acknowledged or None) as it was told.
    """

    keyed: bool = True
    way: "str | Callable[[Page], str]" = "accept"
    pages: list[Page] = field(default_factory=list)
    requests: list[Page] = field(default_factory=list)
    settled: list[tuple[str, Level | None]] = field(default_factory=list)

    def takes(self, page: Page) -> str:
        """An attempt arrives. Returns how it is answered."""
        way = self.way if isinstance(self.way, str) else self.way(page)
        if way != "down":
            self.requests.append(page)
        if way in ("accept", "cut") and not (self.keyed and page.key in {p.key for p in self.pages}):
            self.pages.append(page)
        return way


class MemoryChannel:
    """One process's way to a `MemoryProvider`.

    Args:
        roles: whom it reaches; None: everybody.
    """

    def __init__(
        self,
        provider: MemoryProvider,
        clock: Clock,
        *,
        name: str = "memory",
        roles: Collection[Role] | None = None,
    ) -> None:
        self.provider, self._clock, self._name, self._roles = provider, clock, name, roles
        self.closed = 0

    @property
    def name(self) -> str:
        return self._name

    @property
    def keyed(self) -> bool:
        return self.provider.keyed

    def reaches(self, page: Page) -> bool:
        """See `Channel.reaches`."""
        return self._roles is None or page.role in self._roles

    async def send(self, page: Page) -> Delivery:
        """See `Channel.send`."""
        if not self.reaches(page):
            return Delivery(Fate.REFUSED, why=f"{self._name} has no address for {page.role.value}")
        match self.provider.takes(page):
            case "accept":
                return Delivery(Fate.ACCEPTED, page.key if self.keyed else "")
            case "refuse":
                return Delivery(Fate.REFUSED, why=f"{self._name} answered 400")
            case "cut":
                return Delivery(Fate.UNKNOWN, why=f"{self._name} ended the connection before its answer")
            case "hang":
                await self._clock.sleep(GIVES_UP_S)
                return Delivery(Fate.UNKNOWN, why=f"{self._name} did not answer within {GIVES_UP_S:g} s")
            case "busy":
                raise Temporary(f"{self._name} answered 503.", delay_s=1.0)
            case _:
                raise Unreachable(f"{self._name} takes no connection.", delay_s=1.0)

    async def settle(self, incident: str, *, acknowledged: Level | None) -> None:
        """See `Channel.settle`."""
        if self.provider.way in ("down", "busy"):
            raise Unreachable(f"{self._name} takes no connection.", delay_s=1.0)
        if (incident, acknowledged) not in self.provider.settled:
            self.provider.settled.append((incident, acknowledged))

    async def close(self) -> None:
        """See `Channel.close`."""
        self.closed += 1
