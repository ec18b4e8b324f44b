"""Resource use of the pods from the metrics API (R45), and what their statuses say of memory (R7)."""

from decimal import Decimal

from codeblue.adapters.kubernetes.api import Api, Json
from codeblue.adapters.kubernetes.room import quantity
from codeblue.model.errors import Forbidden, NotFound, Unreachable
from codeblue.ports.platform import PodFacts, Usage


async def read_usage(api: Api, namespace: str, selector: str) -> tuple[Usage, ...] | None:
    """Use of the running pods; None where the cluster has no metrics API or it does not answer."""
    try:
        metrics = await api.list_all(
            f"/apis/metrics.k8s.io/v1beta1/namespaces/{namespace}/pods", labelSelector=selector
        )
    except (NotFound, Unreachable):
        return None
    pods = await api.list_all(f"/api/v1/namespaces/{namespace}/pods", labelSelector=selector)
    return usage_of(metrics, pods)


def usage_of(metrics: list[Json], pods: list[Json]) -> tuple[Usage, ...]:
    """The metrics API's answer, for those of the pods that it knows."""
    limits = {pod["metadata"]["name"]: memory_limit(pod) for pod in pods}
    return tuple(
        Usage(
            pod=m["metadata"]["name"],
            cpu_cores=float(sum((quantity(c["usage"]["cpu"]) for c in m["containers"]), Decimal(0))),
            memory_bytes=int(sum((quantity(c["usage"]["memory"]) for c in m["containers"]), Decimal(0))),
            memory_limit=limits[m["metadata"]["name"]],
        )
        for m in metrics
        if m["metadata"]["name"] in limits
    )


def memory_limit(pod: Json) -> int | None:
    """Of all its containers together; None where one of them has none."""
    amounts = [((c.get("resources") or {}).get("limits") or {}).get("memory") for c in pod["spec"]["containers"]]
    return None if None in amounts else int(sum((quantity(a) for a in amounts if a), Decimal(0)))


class OomKills:
    """Counts containers that were killed for memory.

    A status only tells of the last end of each container, so the kills are counted as they come by; of two between two
    looks the first is not seen.
    """

    def __init__(self) -> None:
        self._seen: dict[str, set[str]] = {}

    def count(self, pods: list[Json]) -> dict[str, int]:
        """The kills so far, by pod name; pods that are not in the list are forgotten."""
        counts, seen = dict[str, int](), dict[str, set[str]]()
        for pod in pods:
            uid = str(pod["metadata"]["uid"])
            seen[uid] = self._seen.get(uid, set()) | _killed(pod)
            counts[pod["metadata"]["name"]] = len(seen[uid])
        self._seen = seen
        return counts


def _killed(pod: Json) -> set[str]:
    """The ends for memory that the status of a pod tells of, each by its container and time."""
    status = pod.get("status") or {}
    found = set()
    for container in [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]:
        for state in (container.get("state") or {}, container.get("lastState") or {}):
            ended = state.get("terminated") or {}
            if ended.get("reason") == "OOMKilled":
                found.add(f"{container.get('name')} {ended.get('finishedAt')} {ended.get('containerID')}")
    return found


async def read_facts(
    api: Api, namespace: str, selector: str, pods: list[Json], kills: OomKills
) -> tuple[PodFacts, ...]:
    """What is known of these pods; without a metrics API all but their memory."""
    try:
        metrics = await api.list_all(
            f"/apis/metrics.k8s.io/v1beta1/namespaces/{namespace}/pods", labelSelector=selector
        )
    except (NotFound, Forbidden, Unreachable):
        metrics = []
    used = {usage.pod: usage.memory_bytes for usage in usage_of(metrics, pods)}
    counts = kills.count(pods)
    return tuple(
        PodFacts(
            pod=(name := str(pod["metadata"]["name"])),
            restarts=sum(
                int(c.get("restartCount") or 0) for c in (pod.get("status") or {}).get("containerStatuses") or []
            ),
            oom_kills=counts[name],
            memory_bytes=used.get(name),
            memory_limit=memory_limit(pod),
        )
        for pod in pods
    )
