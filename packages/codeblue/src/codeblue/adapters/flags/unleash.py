"""Flags of an Unleash server, by its Admin API: keeps `ports.flags.FlagStore`.

What OFF is here differs from OpenFeature: a flag that is disabled in an environment is served as `enabled: false`, and
is off for every client of that environment. One that is archived or deleted is not served at all, and its clients fall
back to their own default. Enabled, it is on for whom its strategies say: that is a value only where one strategy alone
is active and leaves nobody out (docs.getunleash.io, "Activation strategies"; each of these rules is checked against the
server itself in tests/contract/test_unleash.py).

The Admin API has no precondition: of two writers the last one wins. What is written is a state and never a toggle, and
a strategy is only changed where it is the only one.
"""

import ssl as tls
from collections.abc import Collection, Mapping
from typing import Any, Final
from urllib.parse import quote

from codeblue.adapters.flag_change import planned, wanted_of
from codeblue.adapters.outbound import Answer, Backoff, Outbound, sayable
from codeblue.model.change import Change, Fence, Receipt
from codeblue.model.errors import Forbidden, NotFound, Refused, Unreachable
from codeblue.model.flag import FlagValue, Stored, off, same
from codeblue.model.secret import Secret
from codeblue.ports.clock import Clock

#: One flag with its environments, strategies and constraints.
_KEPT: Final = 1024 * 1024
#: What a rollout is spread by where everybody has it: the client's own session or chance. Any other is a field of the
#: context, and who comes without it is left out.
_STICKY: Final = ("default", "random")
_WHERE: Final = "Check the flags' url, project and environment in the profile against Unleash."
_TOKEN: Final = "Give an admin or service account token that may change flags of this project and environment."  # noqa: S105

Json = dict[str, Any]


class Unleash:
    """Flags of one project in one environment.

    Args:
        url: of the server, without /api.
        token: of the Admin API.
        environment: the one whose clients are meant ("production").
        project: the project's id.
        shares: the flags that are percentages; the others are switches. Unleash itself does not tell them apart.
        timeout_s: limit of one request; a call asks once for each flag, and changes with up to four.
    """

    def __init__(
        self,
        url: str,
        token: Secret,
        clock: Clock,
        *,
        environment: str,
        project: str = "default",
        shares: Collection[str] = (),
        timeout_s: float = 5.0,
        ssl: tls.SSLContext | None = None,
    ) -> None:
        self._token, self._clock, self._shares = token, clock, frozenset(shares)
        self._project, self._environment = project, environment
        self._server = url.rstrip("/")
        self._url = f"{self._server}/api/admin/projects/{quote(project, safe='')}"
        self._http = Outbound(timeout_s=timeout_s, ssl=ssl, kept=_KEPT)
        self._backoff = Backoff()

    @property
    def place(self) -> str:
        """See `FlagStore.place`."""
        return f"Unleash project {self._project}, environment {self._environment}"

    async def read(self, names: tuple[str, ...]) -> Mapping[str, Stored]:
        """See `FlagStore.read`. Raises NotFound where the project has no such environment."""
        return {name: self._stored(name, await self._flag(name)) for name in names}

    def change(self, seen: Mapping[str, Stored], wanted: Mapping[str, FlagValue]) -> Change | None:
        """See `FlagStore.change`."""
        return planned(self.place, seen, wanted)

    async def apply(self, change: Change, fence: Fence) -> Receipt:
        """See `FlagStore.apply`. A flag that is archived is revived, one that is deleted is created.

        Raises:
            Refused: also where a flag is to be on that has strategies for some: they are somebody's work, and OFF
                needs none of them changed. What is to be off is off by then.
        """
        wanted, writes = wanted_of(change), 0
        for name, value in wanted.items():
            if isinstance(value, bool) is (name in self._shares):
                raise Refused(
                    f"{name} is to be set as a {'switch' if isinstance(value, bool) else 'percentage'}, and the "
                    "profile says it is none; nothing was written.",
                    remedy="Correct the flag's type in the profile.",
                )
        # off first: it must not wait for, nor fail with, what is to be on
        for name, value in sorted(wanted.items(), key=lambda item: not same(item[1], off(item[1]))):
            flag = await self._flag(name)
            if flag is None:
                flag = await self._brought_back(name)
                writes += 1
            if same(self._stored(name, flag).value, value):
                continue
            writes += 1
            if same(value, off(value)):
                await self._ask("POST", f"{self._at(name)}/off")
            else:
                await self._turn_on(name, flag, 100 if value is True else int(value))
        return Receipt(change.summary, f"{writes} flags written", self._clock.now())

    async def close(self) -> None:
        """See `FlagStore.close`."""
        await self._http.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.place})"

    async def _turn_on(self, name: str, flag: Json, percent: int) -> None:
        """Give it one strategy for this share of everybody, and only then enable it: never more than wanted."""
        active = _active(self._here(name, flag))
        if len(active) > 1 or any(_narrow(strategy) for strategy in active) or flag.get("dependencies"):
            raise Refused(
                f"{name} has strategies, constraints or parents in {self.place} that are for some only; setting it on "
                "for everybody would overrule them. It was left as it was.",
                remedy="Decide in Unleash: leave it as it is, or remove there what is for some, and try again.",
            )
        shape = {"rollout": str(percent), "stickiness": "default", "groupId": name}
        new = {"name": "flexibleRollout", "parameters": shape, "constraints": [], "segments": [], "disabled": False}
        strategies = f"{self._at(name)}/strategies"
        if not active:
            # enabled without an active one, the server would add its own, for everybody
            await self._ask("POST", strategies, new)
        elif _percent(active[0]) != percent:
            kept = active[0].get("parameters") if active[0].get("name") == "flexibleRollout" else {}
            same_but = {**active[0], **new, "parameters": {**shape, **(kept or {}), "rollout": str(percent)}}
            await self._ask("PUT", f"{strategies}/{quote(str(active[0].get('id')), safe='')}", same_but)
        await self._ask("POST", f"{self._at(name)}/on")

    async def _brought_back(self, name: str) -> Json:
        """A flag that is not there: created, or revived where it is archived. Disabled everywhere in both cases."""
        answer = await self._answer("POST", f"{self._url}/features", {"name": name, "type": "operational"})
        if answer.status == 409:
            await self._ask("POST", f"{self._url}/revive", {"features": [name]})
        else:
            self._judge(answer)
        flag = await self._flag(name)
        if flag is None:
            raise Refused(
                f"Unleash has a flag {name} that is not in project {self._project}, and no second one of that name.",
                remedy=_WHERE,
            )
        return flag

    async def _flag(self, name: str) -> Json | None:
        """The flag as the project has it; None where it has none, archived ones included."""
        answer = await self._answer("GET", f"{self._url}/features/{quote(name, safe='')}")
        said = answer.json()
        if answer.status == 404 and isinstance(said, dict) and said.get("name") == "NotFoundError":
            return None
        self._judge(answer)
        if not isinstance(said, dict) or said.get("name") != name or not isinstance(said.get("environments"), list):
            raise Unreachable(
                "Unleash answered with something else than the flag.", remedy=_WHERE, delay_s=self._backoff.failed()
            )
        return None if said.get("archived") is True else said

    def _here(self, name: str, flag: Json) -> Json:
        """What the flag is in our environment."""
        for environment in flag["environments"]:
            if isinstance(environment, dict) and environment.get("name") == self._environment:
                return environment
        raise NotFound(
            f"Unleash's project {self._project} has no environment {self._environment}, or not for {name}.",
            remedy=_WHERE,
        )

    def _stored(self, name: str, flag: Json | None) -> Stored:
        if flag is None:
            return Stored(None, "it is deleted or archived, so the code's default applies")
        here, share = self._here(name, flag), name in self._shares
        active = _active(here)
        if here.get("enabled") is False or (here.get("enabled") is True and not active and here.get("strategies")):
            return Stored(0 if share else False)
        if here.get("enabled") is not True:
            return Stored(None, "Unleash does not say whether it is enabled")
        if flag.get("dependencies"):
            return Stored(None, "it depends on other flags")
        if len(active) != 1:
            return Stored(None, f"it has {len(active)} active strategies")
        if why := _narrow(active[0]):
            return Stored(None, why)
        percent = _percent(active[0])
        if share:
            return Stored(percent)
        return Stored(percent == 100) if percent in (0, 100) else Stored(None, f"it is on for {percent} %")

    def _at(self, name: str) -> str:
        flag = f"{self._url}/features/{quote(name, safe='')}"
        return f"{flag}/environments/{quote(self._environment, safe='')}"

    async def _ask(self, method: str, url: str, body: object = None) -> None:
        """One request that has to be taken."""
        self._judge(await self._answer(method, url, body))

    async def _answer(self, method: str, url: str, body: object = None) -> Answer:
        """One request with a whole answer, whatever it says. Raises Unreachable."""
        answer = await self._http.ask(method, url, body, {"Authorization": self._token.reveal()})
        if answer.status is None or answer.missing is not None:
            raise Unreachable(
                f"Unleash at {self._server}: {answer.missing}.",
                remedy="Check the network and the server: it answers at /health.",
                delay_s=self._backoff.failed(),
            )
        return answer

    def _judge(self, answer: Answer) -> None:
        """Every answer but a good one as its error."""
        said = answer.json()
        shown = sayable(said.get("message") if isinstance(said, dict) else None, (self._token,))
        why = f"{answer.status}{': ' if shown else ''}{shown}"
        match answer.status:
            case int(status) if 200 <= status < 300:
                self._backoff.worked()
            case 401 | 403:
                raise Forbidden(f"Unleash does not accept our token for this ({why}).", remedy=_TOKEN)
            case 404:
                raise NotFound(f"Unleash does not know this project, environment or flag ({why}).", remedy=_WHERE)
            case int(status) if status in (408, 429) or status >= 500:
                raise Unreachable(
                    f"Unleash answered {status}.", remedy="Look at its log.", delay_s=self._backoff.failed(answer)
                )
            case _:
                raise Refused(f"Unleash refused it ({why}).", remedy=_WHERE)


def _active(environment: Json) -> list[Json]:
    """The strategies that count."""
    found = environment.get("strategies")
    every = found if isinstance(found, list) else [None]  # what is none is one that says nothing to anybody
    strategies: list[Json] = [s if isinstance(s, dict) else {} for s in every]
    return [s for s in strategies if s.get("disabled") is not True]


def _narrow(strategy: Json) -> str:
    """Why a strategy does not say one thing to everybody; "" where it does."""
    if strategy.get("constraints"):
        return "its strategy has constraints"
    if strategy.get("segments"):
        return "its strategy is for segments"
    percent = _percent(strategy)
    if percent is None:
        return f"its strategy is {sayable(strategy.get('name'), limit=40) or 'none'}, which is for some only"
    sticky = _parameters(strategy).get("stickiness") or "default"
    if percent > 0 and sticky not in _STICKY:
        return f"its rollout leaves out who has no {sayable(sticky, limit=40) or 'stickiness'}"
    return ""


def _percent(strategy: Json) -> int | None:
    """How many of all in percent; None for a strategy that is no rollout."""
    if strategy.get("name") == "default":
        return 100
    if strategy.get("name") != "flexibleRollout":
        return None
    rollout = str(_parameters(strategy).get("rollout"))
    return (
        int(rollout)
        if rollout.isascii() and rollout.isdecimal() and len(rollout) <= 3 and int(rollout) <= 100
        else None
    )


def _parameters(strategy: Json) -> Json:
    found = strategy.get("parameters")
    return found if isinstance(found, dict) else {}
