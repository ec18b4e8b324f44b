"""Flags under one key of a ConfigMap: keeps `ports.flags.FlagStore`.

The pods have the ConfigMap mounted as a file, and see a change after the kubelet's next sync (a minute and more); one
that they have as environment or by `subPath` they see never: what they apply is asked of them, never here.
"""

import re
from collections.abc import Mapping
from typing import Final

from codeblue.adapters.flag_change import Seen, missing, planned, wanted_of
from codeblue.adapters.flag_document import Form, edited, stored
from codeblue.adapters.kubernetes.api import Api, Json
from codeblue.model.change import Change, Fence, Receipt
from codeblue.model.errors import Conflict, Forbidden, NotFound, Refused
from codeblue.model.flag import FlagValue, Stored
from codeblue.ports.clock import Clock

_IN_POINTER: Final = re.compile(r"[~/]")


class ConfigMapFlags:
    """One key of one ConfigMap; the others stay as they are (D58).

    Args:
        api: of the cluster; closing it is its owner's.
        name, key: of the ConfigMap, and of the document in its `data`.
        form: of the document.
    """

    def __init__(self, api: Api, namespace: str, name: str, key: str, clock: Clock, *, form: Form = Form.FLAGD) -> None:
        self._api, self._clock, self._form = api, clock, form
        self._namespace, self._name, self._key = namespace, name, key
        self._path = f"/api/v1/namespaces/{namespace}/configmaps/{name}"

    @property
    def place(self) -> str:
        """See `FlagStore.place`."""
        return f"ConfigMap {self._namespace}/{self._name}, key {self._key}"

    async def read(self, names: tuple[str, ...]) -> Mapping[str, Stored]:
        """See `FlagStore.read`. Raises NotFound where there is no such ConfigMap or key."""
        raw, version, _ = await self._read()
        return Seen(stored(raw, names, self._form, self.place), version)

    def change(self, seen: Mapping[str, Stored], wanted: Mapping[str, FlagValue]) -> Change | None:
        """See `FlagStore.change`."""
        return planned(self.place, seen, wanted)

    async def apply(self, change: Change, fence: Fence) -> Receipt:
        """See `FlagStore.apply`. Raises NotFound where there is no such ConfigMap or key."""
        wanted = wanted_of(change)
        raw, version, immutable = await self._read()
        if missing(stored(raw, wanted, self._form, self.place), wanted):
            if change.precondition not in ("", version):
                raise Conflict(f"The {self.place} was changed by somebody else since it was read; nothing was written.")
            if immutable:
                raise Refused(
                    f"The {self.place} is immutable.",
                    remedy="Kubernetes lets nobody change it: give the service a ConfigMap that is not, for its flags.",
                )
            new = edited(raw, wanted, self._form, self.place).decode()
            version = await self._patch(version, new)
        return Receipt(change.summary, f"resourceVersion {version}", self._clock.now())

    async def close(self) -> None:
        """See `FlagStore.close`."""
        await self._api.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.place})"

    async def _patch(self, version: str, document: str) -> str:
        pointer = _IN_POINTER.sub(lambda found: {"~": "~0", "/": "~1"}[found[0]], self._key)
        operations: list[Json] = [
            {"op": "test", "path": "/metadata/resourceVersion", "value": version},
            {"op": "replace", "path": f"/data/{pointer}", "value": document},
        ]
        try:
            return str(_metadata(await self._api.json_patch(self._path, operations)).get("resourceVersion", ""))
        except Forbidden as error:
            raise self._forbidden("patch", error) from error

    async def _read(self) -> tuple[bytes, str, bool]:
        """The document, the ConfigMap's version, and whether nobody can change it any more."""
        try:
            raw = await self._api.get(self._path)
        except NotFound as error:
            raise NotFound(
                f"There is no {self.place}: the ConfigMap is not there.",
                remedy="Check the flags' namespace and name in the profile.",
            ) from error
        except Forbidden as error:
            raise self._forbidden("get", error) from error
        data, version = raw.get("data"), _metadata(raw).get("resourceVersion")
        text = data.get(self._key) if isinstance(data, dict) else None
        if not isinstance(text, str) or not isinstance(version, str):
            raise NotFound(
                f"There is no {self.place}: the ConfigMap has no such key in its data.",
                remedy=f"`kubectl --namespace {self._namespace} get cm {self._name} -o yaml` shows which it has.",
            )
        # a lone surrogate can only be escaped in JSON text, and would be refused as such
        return text.encode("utf-8", "surrogatepass"), version, raw.get("immutable") is True

    def _forbidden(self, verb: str, error: Forbidden) -> Forbidden:
        return Forbidden(
            error.message,
            remedy=f"Grant the verb {verb} on the ConfigMap {self._name} in {self._namespace} (resourceNames).",
        )


def _metadata(raw: Json) -> Json:
    found = raw.get("metadata")
    return found if isinstance(found, dict) else {}
