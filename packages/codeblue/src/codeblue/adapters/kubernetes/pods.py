"""Pods of the Deployment, with the template that each was really started from."""

from collections.abc import Mapping
from datetime import datetime

from codeblue.adapters.kubernetes.api import Json
from codeblue.adapters.kubernetes.history import PodOrigin, owner_of
from codeblue.adapters.kubernetes.template import HASH_LABEL, images_of
from codeblue.model.release import Pod


def live(raw: Json) -> bool:
    """Whether a pod is meant to stay and has an address: not terminating, not finished."""
    phase = (raw.get("status") or {}).get("phase")
    return not raw["metadata"].get("deletionTimestamp") and phase not in ("Succeeded", "Failed")


def read_pod(raw: Json, origins: Mapping[str, PodOrigin]) -> Pod | None:
    """A pod of one of these ReplicaSets, or one that such a ReplicaSet left behind; None for any other that only shares
    the labels (behind the Service it is a stranger, see `Routing`).

    What `kubectl delete replicaset --cascade=orphan` leaves has the label of its template still and no owner: it gets
    traffic, what it was started from cannot be told any more, and no controller ever replaces it.

    The images are those of the pod itself, not of its ReplicaSet: admission can change them on the way.
    """
    owner = owner_of(raw)
    origin = origins.get(owner)
    left_behind = not owner and HASH_LABEL in (raw["metadata"].get("labels") or {})
    if origin is None and not left_behind:
        return None
    status = raw.get("status") or {}
    if status.get("phase") in ("Succeeded", "Failed"):
        return None  # the ReplicaSet has replaced it already
    containers = status.get("containerStatuses") or []
    conditions = {c.get("type"): c.get("status") for c in status.get("conditions") or []}
    starts = [((c.get("state") or {}).get("running") or {}).get("startedAt") for c in containers]
    started = [datetime.fromisoformat(s) for s in starts if s]
    return Pod(
        name=raw["metadata"]["name"],
        uid=raw["metadata"]["uid"],
        template=origin.template.exact if origin else "",
        release=origin.template.release if origin else "",
        images=images_of(raw["spec"]),
        ready=conditions.get("Ready") == "True",
        terminating=bool(raw["metadata"].get("deletionTimestamp")),
        restarts=sum(int(c.get("restartCount") or 0) for c in containers),
        trouble=_trouble(status, conditions),
        running_since=max(started) if started else None,
    )


def _trouble(status: Json, conditions: Mapping[str, str]) -> str:
    """The kubelet's or scheduler's own word for why a pod does not run."""
    for container in [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]:
        waiting = (container.get("state") or {}).get("waiting") or {}
        if waiting.get("reason") and waiting["reason"] not in ("ContainerCreating", "PodInitializing"):
            return str(waiting["reason"])
        ended = (container.get("state") or {}).get("terminated") or {}
        if ended.get("reason") not in (None, "Completed"):
            return str(ended["reason"])
    if conditions.get("PodScheduled") == "False":
        return "Unschedulable"
    return ""
