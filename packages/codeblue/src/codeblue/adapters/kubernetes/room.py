"""Whether quota and nodes have room for all replicas twice (the precondition of an all-at-once replacement)."""

from collections.abc import Mapping
from decimal import Decimal

from codeblue.adapters.kubernetes.api import Api, Json
from codeblue.model.errors import Forbidden, NotFound, Unreachable
from codeblue.ports.platform import Room

_UNITS = {
    "n": Decimal("1e-9"), "u": Decimal("1e-6"), "m": Decimal("1e-3"), "": Decimal(1),
    "k": Decimal(10**3), "M": Decimal(10**6), "G": Decimal(10**9), "T": Decimal(10**12), "P": Decimal(10**15),
    "Ki": Decimal(2**10), "Mi": Decimal(2**20), "Gi": Decimal(2**30), "Ti": Decimal(2**40), "Pi": Decimal(2**50),
}  # fmt: skip


def quantity(text: str | int | float) -> Decimal:
    """A Kubernetes quantity ("250m", "1Gi") in its base unit."""
    text = str(text)
    number = text.rstrip("numkKMGTPi")
    return Decimal(number) * _UNITS[text[len(number) :]]


async def room_for(api: Api, namespace: str, template: Json, replicas: int) -> Room:
    """Compares what `replicas` more pods request with what quota and ready nodes have left.

    Nodes are judged one by one (a pod does not span two); taints and affinities are not, so a yes is "very likely":
    a pod that finds no place after all only delays its own replacement.
    """
    need = _requests(template)
    try:
        quotas = await api.list_all(f"/api/v1/namespaces/{namespace}/resourcequotas")
        nodes = await api.list_all("/api/v1/nodes")
        pods = await api.list_all("/api/v1/pods", fieldSelector="status.phase!=Succeeded,status.phase!=Failed")
    except (Forbidden, NotFound) as error:
        return Room(None, f"cannot be told: {error.message}")
    except Unreachable as error:
        return Room(None, f"cannot be told: {error.message}")
    short = _quota_short(quotas, need, replicas)
    if short:
        return Room(False, short)
    return _nodes_fit(nodes, pods, need, replicas)


def _requests(template: Json) -> dict[str, Decimal]:
    need = {"pods": Decimal(1)}
    for container in template["spec"].get("containers") or []:
        resources = container.get("resources") or {}
        for kind, limits in (("requests", resources.get("requests")), ("limits", resources.get("limits"))):
            for name, amount in (limits or {}).items():
                if kind == "requests":
                    need[name] = need.get(name, Decimal(0)) + quantity(amount)
                need[f"{kind}.{name}"] = need.get(f"{kind}.{name}", Decimal(0)) + quantity(amount)
    return need


def _quota_short(quotas: list[Json], need: Mapping[str, Decimal], replicas: int) -> str:
    for quota in quotas:
        status = quota.get("status") or {}
        for name, hard in (status.get("hard") or {}).items():
            wanted = need.get(name) or need.get(name.removeprefix("count/"))
            if wanted is None:
                continue
            used = quantity((status.get("used") or {}).get(name, 0))
            if used + wanted * replicas > quantity(hard):
                return (
                    f"ResourceQuota {quota['metadata']['name']}: {name} used {used.normalize():f} + "
                    f"{(wanted * replicas).normalize():f} > {quantity(hard).normalize():f}"
                )
    return ""


def _nodes_fit(nodes: list[Json], pods: list[Json], need: Mapping[str, Decimal], replicas: int) -> Room:
    used: dict[str, dict[str, Decimal]] = {}
    for pod in pods:
        node = pod["spec"].get("nodeName")
        if node:
            total = used.setdefault(node, {})
            for name, amount in _requests(pod).items():
                total[name] = total.get(name, Decimal(0)) + amount
    places, tight = 0, "no ready node"
    for node in nodes:
        if not _schedulable(node):
            continue
        allocatable = {k: quantity(v) for k, v in (node["status"].get("allocatable") or {}).items()}
        taken = used.get(node["metadata"]["name"], {})
        fits = {
            name: int((allocatable[name] - taken.get(name, Decimal(0))) // amount)
            for name, amount in need.items()
            if name in allocatable and amount > 0
        }
        name = min(fits, key=lambda n: fits[n]) if fits else ""
        places += max(0, fits[name]) if name else 0
        tight = f"{name} is the tightest on node {node['metadata']['name']}" if name else tight
    if places >= replicas:
        return Room(True, f"nodes have room for {places} more pods ≥ {replicas}")
    return Room(False, f"nodes have room for {places} more pods < {replicas} ({tight})")


def _schedulable(node: Json) -> bool:
    if node["spec"].get("unschedulable"):
        return False
    conditions = {c["type"]: c["status"] for c in (node.get("status") or {}).get("conditions") or []}
    return conditions.get("Ready") == "True"
