"""Where to probe, and who really stands behind the Service."""

from codeblue.adapters.kubernetes.api import Api, Json
from codeblue.adapters.kubernetes.ref import DeploymentRef, Via
from codeblue.model.errors import NotFound
from codeblue.ports.platform import Place, Routing


async def read_routing(api: Api, ref: DeploymentRef, pods: list[Json], via: Via) -> Routing:
    """The Service's place, one place for each live pod, and the ready endpoints with those that are no pods of ours.

    A Service that selects something else as well (a proxy, a leftover pod) would let a stranger answer for a release
    that is down; its endpoints tell.
    """
    straight = via is Via.DIRECT
    root = f"/api/v1/namespaces/{ref.namespace}"
    own = {p["metadata"]["uid"]: p for p in pods}
    backends: list[str] = []
    strangers: list[str] = []
    if ref.service is None:
        return Routing(None, (), ())  # tier 0 (R1c): nothing says that its pods speak HTTP
    try:
        service = await api.get(f"{root}/services/{ref.service}")
    except NotFound as error:
        raise NotFound(
            f"There is no Service {ref.namespace}/{ref.service}.",
            remedy="Check platform.service in the profile, or leave it out for a Deployment without a Service.",
        ) from error
    port = _service_port(service, ref)
    pod_port: int | str = port.get("targetPort") or port["port"]
    number = port["port"]
    if straight:
        service_place = Place("service", f"http://{service['spec']['clusterIP']}:{number}")
    else:
        service_place = Place("service", f"{api.server}{root}/services/{ref.service}:{number}/proxy")
    slices = await api.list_all(
        f"/apis/discovery.k8s.io/v1/namespaces/{ref.namespace}/endpointslices",
        labelSelector=f"kubernetes.io/service-name={ref.service}",
    )
    for endpoint in (e for s in slices for e in s.get("endpoints") or []):
        if (endpoint.get("conditions") or {}).get("ready") is False:
            continue
        target = endpoint.get("targetRef") or {}
        name = str(target.get("name") or ", ".join(endpoint.get("addresses") or []))
        backends.append(name)
        if target.get("uid") not in own:
            strangers.append(name)
    places: list[Place] = []
    for pod in pods:
        port_number = _pod_port(pod, pod_port)
        address = (pod.get("status") or {}).get("podIP")
        if port_number is None or not address:
            continue
        name = pod["metadata"]["name"]
        url = f"http://{address}:{port_number}" if straight else f"{api.server}{root}/pods/{name}:{port_number}/proxy"
        places.append(Place(f"pod/{name}", url))
    return Routing(service_place, tuple(places), tuple(backends), tuple(strangers))


def _service_port(service: Json, ref: DeploymentRef) -> Json:
    ports: list[Json] = service["spec"].get("ports") or []
    for port in ports:
        if ref.port in (None, port.get("port"), port.get("name")):
            return port
    raise NotFound(
        f"Service {ref.namespace}/{ref.service} has no port {ref.port!r}.",
        remedy=f"Set platform.port to one of {[p.get('name') or p.get('port') for p in ports]}.",
    )


def _pod_port(pod: Json, wanted: int | str) -> int | None:
    """A target port by number, or by name among the containers' ports."""
    if isinstance(wanted, int):
        return wanted
    for container in pod["spec"].get("containers") or []:
        for port in container.get("ports") or []:
            if port.get("name") == wanted:
                return int(port["containerPort"])
    return None
