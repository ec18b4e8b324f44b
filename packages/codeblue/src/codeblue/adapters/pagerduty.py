"""PagerDuty, Events API v2: keeps `ports.channel.Channel`.

One PagerDuty incident for each level of ours: an acknowledgement of ours settles those up to its level there, the end
all of them. The dedup key makes a second attempt safe (B3), so an unknown outcome may be tried again. Who is called for
a routing key is PagerDuty's own rota: roles that share a key share its people.
"""

import asyncio
import ssl as tls
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from codeblue.adapters.outbound import Answer, Backoff, Outbound, sayable
from codeblue.model.errors import Refused, Temporary, Unreachable
from codeblue.model.incident import Level, Role, Severity
from codeblue.model.page import Delivery, Fate, Page
from codeblue.model.reply import incident_key, level_key, read_incident_key
from codeblue.model.secret import Secret

#: Events of accounts in the EU go to https://events.eu.pagerduty.com.
BASE: Final = "https://events.pagerduty.com"
MAX_SUMMARY: Final = 1024
_SEVERITY: Final = {
    Severity.SEV1: "critical",
    Severity.SEV2: "error",
    Severity.SEV3: "warning",
    Severity.SEV4: "info",
}
#: What `Page.level` can be.
_LEVELS: Final = (*(level.name for level in Level), "notice", "test")
_REMEDY: Final = "Check pages.pagerduty: routing keys of Events API v2 integrations have 32 characters."


class PagerDutyChannel:
    """Pages through the integrations of PagerDuty services.

    Args:
        keys: routing key of each role that is reached.
        service: the protected service, the `source` of the events.
        base: where events go; the EU has another.
        sent: dedup keys that were used for an incident, from the record: a process that was started after a repeated
            page knows of it only so. The first page of each level needs no memory. Called in a thread; what it raises
            passes through `settle`.
        timeout_s: limit of one request.
    """

    name = "pagerduty"
    keyed = True

    def __init__(
        self,
        keys: Mapping[Role, Secret],
        service: str,
        *,
        base: str = BASE,
        sent: Callable[[str], Iterable[str]] | None = None,
        timeout_s: float = 9.0,
        ssl: tls.SSLContext | None = None,
    ) -> None:
        self._keys, self._service, self._url = dict(keys), service, f"{base.rstrip('/')}/v2/enqueue"
        self._sent = sent
        self._used: defaultdict[str, set[str]] = defaultdict(set)
        self._http = Outbound(timeout_s=timeout_s, ssl=ssl)
        self._backoff = Backoff()

    def reaches(self, page: Page) -> bool:
        """Whether the role has a routing key."""
        return page.role in self._keys

    async def send(self, page: Page) -> Delivery:
        """Trigger; see `Channel.send`."""
        key = self._keys.get(page.role)
        if key is None:
            return Delivery(Fate.REFUSED, why=f"no routing key for {page.role}")
        dedup = incident_key(page)
        self._used[page.incident].add(dedup)
        answer = await self._event(key, "trigger", dedup, self._trigger(page))
        if answer.missing is not None and answer.status is None:
            if not answer.sent:
                raise Unreachable(f"PagerDuty: {answer.missing}.", delay_s=self._backoff.failed())
            return Delivery(Fate.UNKNOWN, dedup, f"PagerDuty: {answer.missing}")
        if (busy := self._busy(answer)) is not None:
            raise busy
        if answer.status == 202:
            said = answer.json()
            if isinstance(said, dict) and said.get("status") == "success" and said.get("dedup_key") == dedup:
                self._backoff.worked()
                return Delivery(Fate.ACCEPTED, dedup)
            return Delivery(Fate.UNKNOWN, dedup, "PagerDuty answered 202 without saying that it took the event")
        if answer.status is not None and 200 <= answer.status < 300:
            return Delivery(Fate.UNKNOWN, dedup, f"PagerDuty answered {answer.status}, which is none of its answers")
        return Delivery(Fate.REFUSED, why=f"PagerDuty {self._refusal(answer)}. {_REMEDY}")

    async def settle(self, incident: str, *, acknowledged: Level | None) -> None:
        """Acknowledge the levels up to one, or resolve all; what PagerDuty does not know it ignores."""
        action = "resolve" if acknowledged is None else "acknowledge"
        dedups = {level_key(incident, level, 0) for level in _LEVELS} | self._used.get(incident, set())
        if self._sent is not None:
            dedups |= set(await asyncio.to_thread(self._sent, incident))
        if acknowledged is not None:
            dedups = {dedup for dedup in dedups if _is_within(dedup, acknowledged)}
        keys = {key.reveal(): key for key in self._keys.values()}.values()
        events = [self._event(key, action, dedup, {}) for key in keys for dedup in sorted(dedups)]
        answers = await asyncio.gather(*events)
        for answer in answers:
            if (busy := self._busy(answer)) is not None:
                raise busy
            if answer.status is None:
                raise Unreachable(f"PagerDuty: {answer.missing}.", delay_s=self._backoff.failed())
            if answer.status != 202:
                raise Refused(f"PagerDuty {self._refusal(answer)}.", remedy=_REMEDY)
        self._backoff.worked()
        if acknowledged is None:
            self._used.pop(incident, None)

    async def close(self) -> None:
        """See `Channel.close`."""
        await self._http.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(sorted(self._keys))})"

    async def _event(self, key: Secret, action: str, dedup: str, more: Mapping[str, Any]) -> Answer:
        event = {"routing_key": key.reveal(), "event_action": action, "dedup_key": dedup, **more}
        return await self._http.ask("POST", self._url, event)

    def _trigger(self, page: Page) -> dict[str, Any]:
        facts = {
            "incident": page.incident,
            "level": page.level,
            "role": page.role.value,
            "next_step": page.next_step,
            "record": page.head,
            "page": page.key,
        }
        summary = page.summary if len(page.summary) <= MAX_SUMMARY else page.summary[: MAX_SUMMARY - 1] + "…"
        payload = {
            "summary": summary,
            "source": self._service,
            "severity": _SEVERITY[page.severity],
            "component": self._service,
            "group": page.level,
            "class": page.severity.text,
            "custom_details": {**dict(page.details), **facts},
        }
        return {"payload": payload, "client": "Code Blue"}

    def _busy(self, answer: Answer) -> Temporary | None:
        """429, 5xx and a request that took too long there: the dedup key makes another attempt safe."""
        if answer.status is None or not (answer.status in (408, 429) or answer.status >= 500):
            return None
        return Unreachable(f"PagerDuty answered {answer.status}.", delay_s=self._backoff.failed(answer))

    def _refusal(self, answer: Answer) -> str:
        said = answer.json()
        errors = said.get("errors") if isinstance(said, dict) else None
        first = sayable(errors[0], self._keys.values()) if isinstance(errors, list) and errors else ""
        return f"refused it ({answer.status}{': ' if first else ''}{first})"


def _is_within(dedup: str, level: Level) -> bool:
    """Whether a key is of a page of the ladder, up to this level."""
    known = read_incident_key(dedup)
    return known is not None and known.level in Level.__members__ and Level[known.level] <= level
