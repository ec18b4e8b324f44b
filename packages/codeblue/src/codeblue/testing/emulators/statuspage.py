"""Atlassian Statuspage, API v1: incidents of a page, as its OpenAPI document has them (developer.statuspage.io).

401 without a key that it knows, 403 for a key that may not manage the page, 404 for an unknown page or incident, 400
for a body that is none, 422 for fields that are wrong: no name, another status (`resolved` is none of scheduled
maintenance), another impact, an unknown component or status of one; a name of more than 255 characters. 420 above 60
requests in any 60 seconds for a key. No idempotency key: the same request twice is two entries.
"""

import itertools
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from codeblue.testing.emulators.base import Emulator, Window, whole_seconds

REALTIME: Final = ("investigating", "identified", "monitoring", "resolved")
SCHEDULED: Final = ("scheduled", "in_progress", "verifying", "completed")
IMPACTS: Final = ("none", "maintenance", "minor", "major", "critical")
COMPONENT: Final = ("operational", "under_maintenance", "degraded_performance", "partial_outage", "major_outage")
PER_MINUTE: Final = 60


class Statuspage(Emulator):
    """One page.

    Args:
        page: its id. key: that may manage it. reader: one that exists and may not.
        components: their ids.

    Attributes:
        incidents: newest first, as the API lists them.
        mails: (incident's id, status) of each message to subscribers.
    """

    def __init__(
        self,
        page: str,
        key: str,
        reader: str = "",
        components: tuple[str, ...] = (),
        clock: Callable[[], float] | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        base = "/v1/pages/{page}/incidents"
        super().__init__(
            [
                Route(base, self._list, methods=["GET"]),
                Route(base, self._create, methods=["POST"]),
                Route(base + "/unresolved", self._unresolved, methods=["GET"]),
                Route(base + "/{incident}", self._get, methods=["GET"]),
                Route(base + "/{incident}", self._update, methods=["PATCH", "PUT"]),
            ]
        )
        self.page, self.key, self.reader, self.components = page, key, reader, components
        self.incidents: list[dict[str, Any]] = []
        self.mails: list[tuple[str, str]] = []
        self._now, self._ids = now, itertools.count(1)
        self._window = Window(PER_MINUTE, 60.0, clock) if clock else Window(PER_MINUTE, 60.0)

    @property
    def api(self) -> str:
        """The base of the API."""
        return f"{self.url}/v1"

    def has(self, name: str, *, status: str = "resolved", metadata: Any = None, ago: timedelta = timedelta()) -> str:
        """An entry that is there already. Returns its id."""
        made = self._new({"name": name, "status": status, "metadata": metadata or {}})
        made["created_at"] = (self._now() - ago).isoformat()
        self.incidents.insert(0, made)
        return str(made["id"])

    def _refuses(self, request: Request) -> Response | None:
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        if scheme != "OAuth" or not key or key not in (self.key, self.reader):
            return _error(401, "Could not authenticate")
        wait_s = self._window.wait_s(key)
        if wait_s:
            return JSONResponse(
                {"error": "Rate limited"}, status_code=420, headers={"Retry-After": whole_seconds(wait_s)}
            )
        if key == self.reader:
            return _error(403, "This user is not allowed to access this page")
        if request.path_params["page"] != self.page:
            return _error(404, "Page not found")
        return None

    async def _list(self, request: Request) -> Response:
        return self._refuses(request) or self._paged(request, self.incidents, "limit")

    async def _unresolved(self, request: Request) -> Response:
        some = [i for i in self.incidents if i["status"] in REALTIME[:-1]]
        return self._refuses(request) or self._paged(request, some, "per_page")

    def _paged(self, request: Request, some: list[dict[str, Any]], size: str) -> Response:
        try:
            page, limit = int(request.query_params.get("page", 1)), int(request.query_params.get(size, 100))
        except ValueError:
            return _error(400, "page is invalid")
        if page < 1 or not 1 <= limit <= 100:
            return _error(400, f"{size} is invalid")
        return JSONResponse(some[(page - 1) * limit : page * limit])

    async def _get(self, request: Request) -> Response:
        found = self._find(request)
        return self._refuses(request) or (JSONResponse(found) if found else _error(404, "Incident not found"))

    async def _create(self, request: Request) -> Response:
        if refused := self._refuses(request):
            return refused
        said = await _said(request)
        if isinstance(said, Response):
            return said
        if errors := list(self._errors(said, new=True)):
            return JSONResponse({"error": errors}, status_code=422)
        made = self._new(said)
        self.incidents.insert(0, made)
        self._mail(made, said)
        return JSONResponse(made, status_code=201)

    async def _update(self, request: Request) -> Response:
        if refused := self._refuses(request):
            return refused
        found = self._find(request)
        if found is None:
            return _error(404, "Incident not found")
        said = await _said(request)
        if isinstance(said, Response):
            return said
        if errors := list(self._errors(said, new=False)):
            return JSONResponse({"error": errors}, status_code=422)
        found |= {k: said[k] for k in ("name", "status", "metadata", "impact_override") if k in said}
        found["updated_at"] = self._now().isoformat()
        if found["status"] == "resolved" and not found["resolved_at"]:
            found["resolved_at"] = self._now().isoformat()
        self._touch(found, said)
        self._mail(found, said)
        return JSONResponse(found)

    def _find(self, request: Request) -> dict[str, Any] | None:
        return next((i for i in self.incidents if i["id"] == request.path_params["incident"]), None)

    def _new(self, said: dict[str, Any]) -> dict[str, Any]:
        number, now = next(self._ids), self._now().isoformat()
        made: dict[str, Any] = {
            "id": f"inc{number:09d}",
            "page_id": self.page,
            "name": said["name"],
            "status": said.get("status", "investigating"),
            "impact": said.get("impact_override") or "minor",
            "impact_override": said.get("impact_override"),
            "metadata": said.get("metadata") or {},
            "created_at": now,
            "updated_at": now,
            "monitoring_at": None,
            "resolved_at": now if said.get("status") == "resolved" else None,
            "shortlink": f"https://stspg.io/e{number:04d}",
            "incident_updates": [],
            "components": [],
        }
        self._touch(made, said)
        return made

    def _touch(self, entry: dict[str, Any], said: dict[str, Any]) -> None:
        update = {
            "id": f"upd{len(entry['incident_updates']) + 1}",
            "incident_id": entry["id"],
            "status": entry["status"],
            "body": said.get("body") or "",
            "deliver_notifications": said.get("deliver_notifications", True) is not False,
            "created_at": self._now().isoformat(),
        }
        entry["incident_updates"].insert(0, update)
        for id_, status in (said.get("components") or {}).items():
            others = [c for c in entry["components"] if c["id"] != id_]
            entry["components"] = [*others, {"id": id_, "name": id_, "status": status}]

    def _mail(self, entry: dict[str, Any], said: dict[str, Any]) -> None:
        if said.get("deliver_notifications", True) is not False:
            self.mails.append((entry["id"], entry["status"]))

    def _errors(self, said: dict[str, Any], *, new: bool) -> Iterator[str]:
        name, status, impact = said.get("name"), said.get("status"), said.get("impact_override")
        if (new or "name" in said) and (not isinstance(name, str) or not name.strip()):
            yield "Name can't be blank"
        elif isinstance(name, str) and len(name) > 255:
            yield "Name is too long (maximum is 255 characters)"
        allowed = SCHEDULED if "scheduled_for" in said else REALTIME
        if status is not None and status not in allowed:
            yield f"Status must be one of {', '.join(allowed)}"
        if impact is not None and impact not in IMPACTS:
            yield "Impact override is not included in the list"
        if "body" in said and said["body"] is not None and not isinstance(said["body"], str):
            yield "Body is invalid"
        if not isinstance(said.get("deliver_notifications", True), bool):
            yield "Deliver notifications is invalid"
        metadata, components, ids = said.get("metadata"), said.get("components"), said.get("component_ids")
        if metadata is not None and not (
            isinstance(metadata, dict) and all(isinstance(v, dict) for v in metadata.values())
        ):
            yield "Metadata must be an object of objects"
        if (components is not None and not isinstance(components, dict)) or any(
            id_ not in self.components or state not in COMPONENT for id_, state in (components or {}).items()
        ):
            yield "Components is invalid"
        if ids is not None and (not isinstance(ids, list) or any(id_ not in self.components for id_ in ids)):
            yield "Component ids is invalid"


async def _said(request: Request) -> dict[str, Any] | Response:
    kind = request.headers.get("content-type", "").partition(";")[0].strip()
    if kind == "application/json":
        try:
            said = await request.json()
        except (ValueError, RecursionError):
            return _error(400, "Body is not valid JSON")
        found = said.get("incident") if isinstance(said, dict) else None
    elif kind == "application/x-www-form-urlencoded":
        pairs = parse_qsl((await request.body()).decode())
        form = {k.removeprefix("incident[").removesuffix("]"): v for k, v in pairs if k.startswith("incident[")}
        found = form or None
    else:
        return _error(415, "Unsupported media type")
    return found if isinstance(found, dict) else _error(400, "incident is missing")


def _error(status: int, why: str) -> Response:
    return JSONResponse({"error": why}, status_code=status)
