"""ReplicaSets as the Deployment's history, the way kubectl reads it.

See docs/semantics.md, "kubectl rollout undo (Deployment)".
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from codeblue.adapters.kubernetes.api import Api, Json
from codeblue.model.release import Revision, Template

REVISION = "deployment.kubernetes.io/revision"
#: kubectl and the controller read the number as an int64, which has up to 19 digits.
INT64_DIGITS = 19


@dataclass(frozen=True, slots=True)
class PodOrigin:
    """The ReplicaSet that a pod belongs to."""

    template: Template
    name: str


async def replica_sets(api: Api, namespace: str, deployment: Json, selector: str) -> list[Json]:
    """The ReplicaSets whose controller is this very Deployment, by UID: labels alone can be shared."""
    found = await api.list_all(f"/apis/apps/v1/namespaces/{namespace}/replicasets", labelSelector=selector)
    uid = deployment["metadata"]["uid"]
    return [s for s in found if owner_of(s) == uid]


def read_revisions(sets: Sequence[Json], current: Template, read: Callable[[Json], Template]) -> tuple[Revision, ...]:
    """Revisions newest first; a ReplicaSet with an unparsable revision number is left out, as kubectl does."""
    revisions: list[Revision] = []
    for raw in sets:
        notes = raw["metadata"].get("annotations") or {}
        text = notes.get(REVISION, "0")
        if not (text.isascii() and text.isdigit() and len(text) < INT64_DIGITS):
            continue
        template = read(raw["spec"]["template"])
        created = raw["metadata"].get("creationTimestamp")
        revisions.append(
            Revision(
                number=int(text),
                template=template,
                current=template.exact == current.exact,
                created=datetime.fromisoformat(created) if created else None,
            )
        )
    return tuple(sorted(revisions, key=lambda r: r.number, reverse=True))


def owner_of(raw: Json) -> str:
    """The UID of the controller of an object, "" if it has none."""
    for owner in raw["metadata"].get("ownerReferences") or []:
        if owner.get("controller"):
            return str(owner.get("uid"))
    return ""
