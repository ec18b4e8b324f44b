"""Resource use of the pods from the metrics API (R45)."""

from decimal import Decimal

from codeblue.adapters.kubernetes.api import Api
from codeblue.adapters.kubernetes.room import quantity
from codeblue.model.errors import NotFound, Unreachable
from codeblue.ports.platform import Usage


async def read_usage(api: Api, namespace: str, selector: str) -> tuple[Usage, ...] | None:
    """Use of the running pods; None where the cluster has no metrics API or it does not answer."""
    try:
        metrics = await api.list_all(
            f"/apis/metrics.k8s.io/v1beta1/namespaces/{namespace}/pods", labelSelector=selector
        )
    except (NotFound, Unreachable):
        return None
    pods = await api.list_all(f"/api/v1/namespaces/{namespace}/pods", labelSelector=selector)
    limits: dict[str, int | None] = {}
    for pod in pods:
        amounts = [((c.get("resources") or {}).get("limits") or {}).get("memory") for c in pod["spec"]["containers"]]
        limits[pod["metadata"]["name"]] = (
            None if None in amounts else int(sum((quantity(a) for a in amounts if a), Decimal(0)))
        )
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
