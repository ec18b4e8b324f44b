"""Who else writes to the Deployment: GitOps, Helm, an autoscaler (docs/semantics.md, "GitOps, HPA, PDB")."""

from codeblue.adapters.kubernetes.api import Api, Json
from codeblue.model.errors import Forbidden, NotFound
from codeblue.model.release import Owner


async def find_owners(api: Api, namespace: str, deployment: Json) -> tuple[Owner, ...]:
    """Owners by their own marks on the object, and HPAs that scale it (none without permission to list them)."""
    metadata = deployment["metadata"]
    labels, notes = metadata.get("labels") or {}, metadata.get("annotations") or {}
    owners: list[Owner] = []
    tracking = notes.get("argocd.argoproj.io/tracking-id") or labels.get("argocd.argoproj.io/instance")
    if tracking:
        application = tracking.partition(":")[0]
        owners.append(
            Owner(
                "argocd",
                application,
                reverts=True,
                remedy=f"Argo CD puts it back: disable automated sync of Application {application!r} first "
                f"(`argocd app set {application} --sync-policy none`), and fix Git before it is switched on again.",
            )
        )
    flux = labels.get("kustomize.toolkit.fluxcd.io/name") or labels.get("helm.toolkit.fluxcd.io/name")
    if flux:
        kind = "kustomization" if "kustomize.toolkit.fluxcd.io/name" in labels else "helmrelease"
        owners.append(
            Owner(
                "flux",
                flux,
                reverts=True,
                remedy=f"Flux puts it back: `flux suspend {kind} {flux}` first, and fix Git before it is resumed.",
            )
        )
    elif labels.get("app.kubernetes.io/managed-by") == "Helm":
        release = notes.get("meta.helm.sh/release-name") or labels.get("app.kubernetes.io/instance") or metadata["name"]
        owners.append(
            Owner(
                "helm",
                release,
                reverts=False,
                remedy=f"Helm does not know of this change: before the next `helm upgrade`, `helm rollback {release}` "
                "to the same release or fix the chart's values.",
            )
        )
    owners += await _autoscalers(api, namespace, metadata["name"])
    return tuple(owners)


def template_manager(deployment: Json) -> str:
    """The field manager that last wrote the pod template, from `managedFields`."""
    writers = [
        (str(entry.get("time") or ""), str(entry.get("manager") or ""))
        for entry in deployment["metadata"].get("managedFields") or []
        if "f:template" in ((entry.get("fieldsV1") or {}).get("f:spec") or {})
    ]
    return max(writers)[1] if writers else ""


async def _autoscalers(api: Api, namespace: str, deployment: str) -> list[Owner]:
    try:
        found = await api.list_all(f"/apis/autoscaling/v2/namespaces/{namespace}/horizontalpodautoscalers")
    except (Forbidden, NotFound):
        return []
    return [
        Owner(
            "hpa",
            hpa["metadata"]["name"],
            reverts=False,
            remedy="The autoscaler owns the number of replicas; a rollback leaves that to it.",
        )
        for hpa in found
        if (hpa["spec"].get("scaleTargetRef") or {}).get("kind") == "Deployment"
        and hpa["spec"]["scaleTargetRef"].get("name") == deployment
    ]
