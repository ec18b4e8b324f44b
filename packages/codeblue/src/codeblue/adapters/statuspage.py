"""Atlassian Statuspage, API v1: keeps `ports.status_page.StatusPage`.

The page takes no idempotency key (D33): our incident's id is in the entry's metadata, and `find` looks there, among the
unresolved first, then among all, newest first, until entries are older than the incident itself.
"""

import re
import ssl as tls
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NoReturn

from codeblue.adapters.outbound import Answer, Backoff, Outbound, sayable
from codeblue.model.errors import Forbidden, NotFound, Refused, Unreachable
from codeblue.model.secret import Secret
from codeblue.ports.status_page import Entry, Posted

BASE: Final = "https://api.statuspage.io/v1"
#: Limit of one call, of the port: `find` can be several requests.
CALL_S: Final = 15.0
_PER_PAGE: Final = 100
#: Entries that one `find` looks at, at most.
_PAGES: Final = 10
#: Answers with long texts of people: 100 entries with all their updates.
_KEPT: Final = 8 * 1024 * 1024
#: Our clock and the page's can differ, and ours can have jumped.
_MARGIN: Final = timedelta(days=1)
_BORN: Final = re.compile(r"inc-(\d{8}t\d{6}z)-", re.ASCII)
_ID: Final = re.compile(r"[A-Za-z0-9]{1,40}", re.ASCII)
_LINK: Final = re.compile(r"https?://[A-Za-z0-9./_-]{1,200}", re.ASCII)
_REMEDY: Final = "Check status_page.page and status_page.api_key: the key's owner must be allowed to manage this page."


class Statuspage:
    """Entries of one page.

    Args:
        page: its id.
        key: an API key.
        title: the name of every entry (R22).
        service: the protected service, part of the metadata.
        components: ids of the page's components that are affected.
        affected: their status while the trouble lasts.
        impact: of the entries; None lets the page derive it from the components.
        base: where the API is.
        timeout_s: limit of one request.
    """

    def __init__(
        self,
        page: str,
        key: Secret,
        *,
        title: str,
        service: str,
        components: Iterable[str] = (),
        affected: str = "degraded_performance",
        impact: str | None = None,
        base: str = BASE,
        timeout_s: float = 7.0,
        ssl: tls.SSLContext | None = None,
    ) -> None:
        self._page, self._key, self._title, self._service = page, key, title, service
        self._components, self._affected, self._impact = tuple(components), affected, impact
        self._url = f"{base.rstrip('/')}/pages/{page}/incidents"
        self._http = Outbound(timeout_s=timeout_s, ssl=ssl, kept=_KEPT)
        self._backoff = Backoff()

    async def find(self, incident: str) -> Entry | None:
        """See `StatusPage.find`. Raises Unreachable also where the entries are too many to be certain."""
        until = time.monotonic() + CALL_S
        open_ = await self._list("/unresolved", {"per_page": _PER_PAGE, "page": 1}, until)
        if found := _ours(open_, incident):
            return found
        born = _born(incident)
        for number in range(1, _PAGES + 1):
            some = await self._list("", {"limit": _PER_PAGE, "page": number}, until)
            if found := _ours(some, incident):
                return found
            if len(some) < _PER_PAGE or (born is not None and _oldest(some) < born - _MARGIN):
                return None
        raise Unreachable(
            f"The status page has more than {_PAGES * _PER_PAGE} entries, and {incident} is not among the newest.",
            remedy="Look at the page itself.",
            delay_s=60.0,
        )

    async def post(self, incident: str, status: Posted, text: str) -> Entry:
        """See `StatusPage.post`."""
        body = self._body(status, text)
        body |= {"name": self._title, "metadata": {"codeblue": {"incident": incident, "service": self._service}}}
        if self._impact is not None:
            body["impact_override"] = self._impact
        return self._entry(await self._ask("POST", self._url, {"incident": body}), incident)

    async def update(self, entry: Entry, status: Posted, text: str) -> Entry:
        """See `StatusPage.update`."""
        if not _ID.fullmatch(entry.id):
            raise Refused("The entry's id is none of the page's.")
        body = {"incident": self._body(status, text)}
        return self._entry(await self._ask("PATCH", f"{self._url}/{entry.id}", body), entry.incident)

    async def close(self) -> None:
        """See `StatusPage.close`."""
        await self._http.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._page})"

    def _body(self, status: Posted, text: str) -> dict[str, Any]:
        body: dict[str, Any] = {"status": status.value, "body": text, "deliver_notifications": True}
        if self._components:
            state = "operational" if status is Posted.RESOLVED else self._affected
            body["components"] = dict.fromkeys(self._components, state)
            body["component_ids"] = list(self._components)
        return body

    async def _list(self, path: str, query: Mapping[str, int], until: float) -> list[Mapping[str, Any]]:
        if time.monotonic() > until - self._http.timeout_s:
            raise Unreachable(f"The status page took more than {CALL_S:g} s to be searched.", delay_s=10.0)
        asked = "&".join(f"{name}={value}" for name, value in query.items())
        found = (await self._ask("GET", f"{self._url}{path}?{asked}")).json()
        if not isinstance(found, list) or not all(isinstance(e, dict) for e in found):
            raise Unreachable("The status page answered with something else than a list of entries.", delay_s=10.0)
        return found

    async def _ask(self, method: str, url: str, body: object = None) -> Answer:
        """One request, with every answer but a good one as its error."""
        answer = await self._http.ask(method, url, body, {"Authorization": f"OAuth {self._key.reveal()}"})
        if answer.status is None or (answer.missing is not None and answer.status < 300):
            raise Unreachable(f"The status page: {answer.missing}.", delay_s=self._backoff.failed())
        if 200 <= answer.status < 300:
            self._backoff.worked()
            return answer
        self._refuse(answer)

    def _refuse(self, answer: Answer) -> NoReturn:
        said = answer.json()
        error = said.get("error") if isinstance(said, dict) else None
        shown = sayable(error[0] if isinstance(error, list) and error else error, (self._key,))
        why = f"{answer.status}{': ' if shown else ''}{shown}"
        match answer.status:
            case 401 | 403:
                raise Forbidden(f"The status page does not accept our key ({why}).", remedy=_REMEDY)
            case 404:
                raise NotFound(f"The status page does not know this page or entry ({why}).", remedy=_REMEDY)
            case 420 | 429:
                wait_s = max(self._backoff.failed(answer), 1.0)
                raise Unreachable(f"The status page asks us to be slower ({answer.status}).", delay_s=wait_s)
            case status if status is not None and (status >= 500 or status == 408):
                raise Unreachable(f"The status page answered {answer.status}.", delay_s=self._backoff.failed(answer))
        raise Refused(
            f"The status page refused it ({why}).", remedy="Compare status_page in the profile with the page."
        )

    def _entry(self, answer: Answer, incident: str) -> Entry:
        """The entry that was posted or updated. An answer that is none leaves it open whether it was: find it."""
        said = answer.json()
        entry = _read(said) if isinstance(said, dict) else None
        if entry is None or entry.incident != incident:
            raise Unreachable("The status page answered with something else than the entry.", delay_s=5.0)
        return entry


def _read(raw: Mapping[str, Any]) -> Entry | None:
    """An entry of ours; None for those of others, scheduled maintenance included."""
    metadata = raw.get("metadata")
    ours = metadata.get("codeblue") if isinstance(metadata, dict) else None
    incident = ours.get("incident") if isinstance(ours, dict) else None
    id_, status, link = raw.get("id"), raw.get("status"), raw.get("shortlink")
    if not (isinstance(incident, str) and isinstance(id_, str) and _ID.fullmatch(id_)):
        return None
    if status == "postmortem":
        status = "resolved"  # what a resolved entry becomes when people publish their report
    if status not in list(Posted):
        return None
    return Entry(id_, incident, Posted(status), link if isinstance(link, str) and _LINK.fullmatch(link) else "")


def _ours(entries: Iterable[Mapping[str, Any]], incident: str) -> Entry | None:
    return next((e for raw in entries if (e := _read(raw)) is not None and e.incident == incident), None)


def _born(incident: str) -> datetime | None:
    """When the incident's id was made; None for an id of another form."""
    found = _BORN.match(incident)
    try:
        return datetime.strptime(found[1], "%Y%m%dt%H%M%Sz").replace(tzinfo=UTC) if found else None
    except ValueError:
        return None


def _oldest(entries: Iterable[Mapping[str, Any]]) -> datetime:
    """When the oldest of them was made; now for those that do not say it."""
    found = datetime.now(UTC)
    for entry in entries:
        try:
            made = datetime.fromisoformat(str(entry.get("created_at")))
        except ValueError:
            continue
        if made.tzinfo is not None:
            found = min(found, made)
    return found
