"""One ConfigMap on a stand-in for an API server: answers GET and JSON patches as Kubernetes does, by its own words."""

import json
from copy import deepcopy
from typing import Any

import httpx2
from lightkube.config.kubeconfig import KubeConfig

from codeblue.adapters.kubernetes.api import PATCH_FAILED, Api

CONFIG = {
    "clusters": [{"name": "c", "cluster": {"server": "http://server"}}],
    "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
    "users": [{"name": "u", "user": {"token": "t"}}],
}


class ConfigMapServer:
    """The server.

    Attributes:
        object: the ConfigMap; None for one that is not there.
        refuses: verbs (get, patch) that our role does not have.
        is_down: no connection is accepted.
        patched: each patch that came.
    """

    def __init__(self, namespace: str, name: str, data: dict[str, str]) -> None:
        metadata = {"name": name, "namespace": namespace, "resourceVersion": "7", "labels": {"app": "x"}}
        self.path = f"/api/v1/namespaces/{namespace}/configmaps/{name}"
        self.object: dict[str, Any] | None = {"kind": "ConfigMap", "metadata": metadata, "data": data}
        self.refuses: set[str] = set()
        self.is_down = False
        self.patched: list[list[dict[str, Any]]] = []

    def api(self) -> Api:
        """A client of it."""
        config = KubeConfig.from_dict(CONFIG).get("x")
        assert config is not None
        api = Api(config)
        api.http = httpx2.AsyncClient(base_url="http://server", transport=httpx2.MockTransport(self._answer))
        return api

    def write(self, **changes: Any) -> None:
        """Somebody else's change: `data`, `immutable`."""
        assert self.object is not None
        self.object.update(changes)
        self._next()

    def _next(self) -> None:
        assert self.object is not None
        version = self.object["metadata"]["resourceVersion"]
        self.object["metadata"]["resourceVersion"] = str(int(version) + 1)

    def _answer(self, request: httpx2.Request) -> httpx2.Response:
        if self.is_down:
            raise httpx2.ConnectError("refused")
        verb = request.method.lower()
        if verb in self.refuses:
            return httpx2.Response(403, json={"message": f"cannot {verb} resource"})
        if self.object is None or request.url.path != self.path:
            return httpx2.Response(404, json={"message": "not found"})
        if verb == "patch":
            assert request.headers["Content-Type"] == "application/json-patch+json"
            operations = json.loads(request.content)
            self.patched.append(operations)
            new = _patched(deepcopy(self.object), operations)
            if new is None:
                return httpx2.Response(422, json={"message": PATCH_FAILED})
            self.object = new
            self._next()
        return httpx2.Response(200, content=json.dumps(self.object))


def _patched(document: dict[str, Any], operations: list[dict[str, Any]]) -> dict[str, Any] | None:
    """RFC 6902, what is needed of it; None where an operation fails."""
    for operation in operations:
        *path, last = [p.replace("~1", "/").replace("~0", "~") for p in operation["path"].split("/")[1:]]
        parent: Any = document
        for key in path:
            parent = parent.get(key, {})
        if last not in parent or operation["op"] not in ("test", "replace"):
            return None
        if operation["op"] == "test" and parent[last] != operation["value"]:
            return None
        if operation["op"] == "replace":
            parent[last] = operation["value"]
    return document
