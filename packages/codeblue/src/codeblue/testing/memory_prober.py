"""Probes of a workload in memory."""

from collections.abc import Callable

from codeblue.model.health import Outcome, Probe
from codeblue.ports.platform import Place
from codeblue.ports.prober import BODY_LIMIT
from codeblue.testing.memory_cluster import MemoryCluster


class MemoryProber:
    """Keeps `ports.prober.Prober` for the places of a `MemoryCluster`: pods answer as their `Behaviour` says."""

    def __init__(self, cluster: MemoryCluster) -> None:
        self.cluster, self._turn = cluster, 0
        #: Paths that answer otherwise than the pod's behaviour says.
        self.status_of: dict[str, int] = {}
        #: When set, nothing gets through to anywhere: every probe is unknown.
        self.blind = False
        #: What `read` gets, by path; a callable makes a body for each place and asking.
        self.bodies: dict[str, bytes | Callable[[Place], bytes]] = {}

    async def get(self, place: Place, path: str, *, timeout_s: float) -> Probe:
        """See `Prober.get`; the service takes the ready pods in turn."""
        if self.blind:
            return Probe(place.name, path, Outcome.UNKNOWN, None, 0.0, detail="the network did not carry the request")
        live = [p for p in self.cluster.pods() if not p.terminating]
        name = place.name.removeprefix("pod/")
        reached = [p for p in live if (p.ready if place.name == "service" else p.name == name)]
        if not reached:
            return Probe(place.name, path, Outcome.BREACH, None, 0.0, detail="connection refused")
        self._turn += 1
        pod = reached[self._turn % len(reached)]
        version = pod.images[0].rpartition(":")[2]
        behaviour = self.cluster.behaviour(version)
        await self.cluster.clock.sleep(min(behaviour.latency_ms / 1000, timeout_s))
        if behaviour.latency_ms > timeout_s * 1000:
            return Probe(place.name, path, Outcome.BREACH, None, timeout_s * 1000, detail="no complete answer in time")
        status = self.status_of.get(path, behaviour.status if pod.ready else 503)
        outcome = Outcome.OK if 200 <= status < 300 else Outcome.BREACH
        return Probe(place.name, path, outcome, status, behaviour.latency_ms, version, f"status {status}")

    async def read(self, place: Place, path: str, *, timeout_s: float, limit: int = BODY_LIMIT) -> tuple[Probe, bytes]:
        """See `Prober.read`."""
        probe = await self.get(place, path, timeout_s=timeout_s)
        body = self.bodies.get(path, b"")
        return probe, (body(place) if callable(body) else body)[:limit]

    async def close(self) -> None:
        """See `Prober.close`."""
