"""REST calls to an API server: lightkube's kubeconfig and authentication, our deadlines, errors in our words."""

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import httpx2
from lightkube.config.client_adapter import AsyncClient, ConnectionParams
from lightkube.config.kubeconfig import DEFAULT_KUBECONFIG, SERVICE_ACCOUNT, KubeConfig, SingleConfig
from lightkube.core.exceptions import ConfigError

from codeblue.model.errors import CodeBlueError, Conflict, Forbidden, NotFound, Refused, Unreachable, UsageError

#: Who we are in `managedFields` and the audit log.
FIELD_MANAGER = "codeblue"

#: All that the API server says of a JSON patch that cannot be applied, whichever operation of it failed. What failed it
#: keeps to itself, so other words for 422 (a validation, an admission policy) are never this.
PATCH_FAILED = "the server rejected our request due to an error in our request"

Json = dict[str, Any]


def load_config(context: str, kubeconfig: Path | None) -> SingleConfig:
    """The connection of exactly this context; never "whatever is current" (D55).

    Args:
        context: the context's name; "in-cluster" means the pod's own service account.
        kubeconfig: the file; default `KUBECONFIG`, then `~/.kube/config`.

    Raises:
        UsageError: no such file or context.
    """
    try:
        if context == "in-cluster":
            return _single(KubeConfig.from_service_account(SERVICE_ACCOUNT), None, context)
        path = kubeconfig or Path(os.environ.get("KUBECONFIG") or DEFAULT_KUBECONFIG).expanduser()
        return _single(KubeConfig.from_file(path), context, str(path))
    except (ConfigError, KeyError, OSError, TypeError) as error:
        raise UsageError(
            f"The Kubernetes context {context!r} cannot be used: {error}.",
            remedy="Check platform.context and platform.kubeconfig against `kubectl config get-contexts`.",
        ) from error


def _single(config: KubeConfig, context: str | None, where: str) -> SingleConfig:
    single = config.get(context)
    if single is None:  # only with neither a context nor a current one
        raise ConfigError(f"no context in {where}")
    if single.user is None:
        raise ConfigError("it names no user")
    return single


class Api:
    """One API server, one namespace by default. Every call ends within `timeout_s`, also against a frozen server."""

    def __init__(self, config: SingleConfig, *, timeout_s: float = 5.0) -> None:
        self.context = str(config.context_name)
        self.server = str(config.cluster.server)
        self.timeout_s = timeout_s
        params = ConnectionParams(timeout=httpx2.Timeout(timeout_s), trust_env=False)
        try:
            self.http: httpx2.AsyncClient = AsyncClient(config, params)
        except (OSError, ConfigError) as error:  # a certificate file that is missing or no certificate
            raise UsageError(f"The credentials of context {self.context!r} cannot be read: {error}.") from error

    async def get(self, path: str, **params: str) -> Json:
        """GET one object or list. Raises NotFound, Forbidden, Unreachable."""
        return await self._send("GET", path, params=params)

    async def metadata(self, path: str) -> Json:
        """GET an object's metadata alone: for a secret, without its values (the server strips them)."""
        accept = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
        return await self._send("GET", path, params={}, accept=accept)

    async def list_all(self, path: str, **params: str) -> list[Json]:
        """All items of a list, page after page."""
        items: list[Json] = []
        query = {"limit": "500", **params}
        while True:
            page = await self._send("GET", path, params=query)
            items += page.get("items") or []
            token = (page.get("metadata") or {}).get("continue")
            if not token:
                return items
            query["continue"] = token

    async def create(self, path: str, body: Json) -> Json:
        """POST. Raises Conflict when it exists already."""
        return await self._send("POST", path, params={"fieldManager": FIELD_MANAGER}, body=body)

    async def replace(self, path: str, body: Json) -> Json:
        """PUT; the body's resourceVersion is the precondition. Raises Conflict when it has moved on."""
        return await self._send("PUT", path, params={"fieldManager": FIELD_MANAGER}, body=body)

    async def json_patch(self, path: str, operations: list[Json]) -> Json:
        """PATCH with RFC 6902 operations. A failed `test` operation raises Conflict."""
        return await self._send(
            "PATCH",
            path,
            params={"fieldManager": FIELD_MANAGER},
            body=operations,
            content_type="application/json-patch+json",
        )

    async def close(self) -> None:
        """Release connections."""
        await self.http.aclose()

    async def _send(
        self,
        method: str,
        path: str,
        *,
        params: dict[str, str],
        body: Json | list[Json] | None = None,
        content_type: str = "application/json",
        accept: str = "application/json",
    ) -> Json:
        content = None if body is None else json.dumps(body).encode()
        headers = {"Accept": accept} | ({"Content-Type": content_type} if content is not None else {})
        try:
            # httpx limits each read, not the whole: a server that drips would hold us for ever
            async with asyncio.timeout(self.timeout_s):
                response = await self.http.request(method, path, params=params, content=content, headers=headers)
        except (httpx2.TransportError, TimeoutError, ConfigError) as error:
            what = "did not answer in time" if isinstance(error, TimeoutError | httpx2.TimeoutException) else "failed"
            raise Unreachable(
                f"The API server {self.server} (context {self.context}) {what}: {type(error).__name__}.",
                remedy="Check the network and the control plane: `kubectl --context "
                f"{self.context} get --raw /readyz`.",
            ) from error
        if response.is_success:
            return _object(response)
        raise self._translate(method, path, response)

    def _translate(self, method: str, path: str, response: httpx2.Response) -> CodeBlueError:
        """The server's Status object in our words. 422 from a failed `test` of a patch is a conflict."""
        code = response.status_code
        try:
            status = _object(response)
        except Unreachable:
            status = {}
        message = str(status.get("message") or response.reason_phrase)[:500]
        what = f"{method} {path}: {message}"
        match code:
            case 404:
                return NotFound(f"{what} (404).", remedy="Check the names in the profile's platform section.")
            case 401:
                return Forbidden(
                    f"The credentials of context {self.context} were refused (401).", remedy="Log in again."
                )
            case 403:
                return Forbidden(
                    f"{what} (403).", remedy="Grant the missing permission; `codeblue check --live` lists all of them."
                )
            case 409:
                return Conflict(f"{what} (409).")
            case 422 if message == PATCH_FAILED:
                return Conflict(f"{what} (422).")
            case 429 | 500 | 502 | 503 | 504:
                return Unreachable(f"The API server answered {code} to {what}.", delay_s=1.0)
            case _:
                return Refused(f"The API server rejected the request: {what} ({code}).")


def _object(response: httpx2.Response) -> Json:
    try:
        value = response.json()
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise Unreachable("The API server sent something that is not JSON.") from error
    if not isinstance(value, dict):
        raise Unreachable("The API server sent something that is not an object.")
    return value
