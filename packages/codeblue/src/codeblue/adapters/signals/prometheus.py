"""A Prometheus, asked over its HTTP API: keeps `ports.signals.Signals` and `ports.queries.Queries`.

It is asked for raw samples (an instant query of a range selector), not for rates: the arithmetic is the same as for
scraped pods, with the moments at which Prometheus measured. prometheus.io/docs/prometheus/latest/querying/api.
"""

import asyncio
import json
import math
import re
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any, NoReturn

import httpx2

from codeblue.adapters.signals.series import Labels, Vocabulary
from codeblue.model.errors import UsageError
from codeblue.model.query import Answer, Point
from codeblue.model.signal import Reading, Sampling
from codeblue.ports.clock import Clock
from codeblue.ports.platform import Place
from codeblue.profile.signals import Prometheus

#: Bytes of an answer that are read at most.
ANSWER_LIMIT = 8 * 1024 * 1024

#: Kinds of errors as the API names them; anything else in that field is not repeated.
_KIND = re.compile(r"[a-z_]{1,40}", re.ASCII)

#: Samples of one target: by moment, then by metric and labels.
_Moments = dict[float, dict[str, dict[Labels, float]]]


class _Unusable(Exception):
    """The answer is none; the message is one line."""


class PrometheusSignals:
    """One Prometheus and one job of it.

    Args:
        at: the profile's section.
        job: the job, where `at.job` leaves it to the service's name.
        timeout_s: of one question, from the connection to the last byte.
        transport: builds the transport in place of the default one.
    """

    def __init__(
        self,
        at: Prometheus,
        job: str,
        vocabulary: Vocabulary,
        clock: Clock,
        *,
        timeout_s: float,
        transport: Callable[[], httpx2.AsyncBaseTransport] | None = None,
    ) -> None:
        self._at, self._vocabulary, self._clock, self._timeout_s = at, vocabulary, clock, timeout_s
        self._url = httpx2.URL(at.url.rstrip("/") + "/api/v1/query")
        self.selector = selector([*sorted(vocabulary.wanted), "up"], {"job": at.job or job, **at.match})
        self._query = f"{self.selector}[{round(at.lookback * 1000)}ms]"
        self._client = httpx2.AsyncClient(
            headers={"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "codeblue-signals"},
            trust_env=False,
            follow_redirects=False,  # it would take the token to another host
            timeout=None,  # one limit over the whole exchange stands in `_ask`
            transport=transport() if transport else None,
        )

    async def sample(self, pods: Sequence[Place]) -> Sampling:
        """See `Signals.sample`: every sample of the last `lookback`, so that one look repeats what former ones had."""
        at_s = self._clock.now().timestamp()
        try:
            result = await self._ask(self._query, "matrix")
            return await asyncio.to_thread(self._read, at_s, result, pods)
        except _Unusable as why:
            return Sampling(at_s, unknown={"prometheus": str(why)})

    async def instant(self, query: str) -> Answer:
        """See `Queries.instant`."""
        try:
            result = await self._ask(query, "vector", "scalar")
            points = tuple(_points(result))
        except _Unusable as why:
            return Answer(unknown=str(why))
        return Answer(points) if points else Answer(unknown="an empty result: no series matches")

    async def close(self) -> None:
        """See `Signals.close`."""
        await self._client.aclose()

    # -- asking

    async def _ask(self, query: str, *kinds: str) -> list[Any]:
        """The result of a query whose type is one of `kinds`. Raises _Unusable."""
        request = self._client.build_request("GET", self._url, params={"query": query}, headers=self._credentials())
        status, body = None, bytearray()
        try:
            async with asyncio.timeout(self._timeout_s):
                answer = await self._client.send(request, stream=True)
                try:
                    status = answer.status_code
                    async for part in answer.aiter_raw():
                        body += part
                        if len(body) > ANSWER_LIMIT:
                            raise _Unusable(
                                f"the answer is larger than {ANSWER_LIMIT >> 20} MiB: narrow it with match or lookback "
                                "in signals.prometheus"
                            )
                finally:
                    await answer.aclose()
        except TimeoutError:
            raise _Unusable(f"no complete answer within {self._timeout_s:g} s") from None
        except httpx2.TransportError as error:
            raise _Unusable(f"no answer: {type(error).__name__}") from None
        return await asyncio.to_thread(_result, status, bytes(body), kinds)

    def _credentials(self) -> dict[str, str]:
        """Read anew each time: tokens in files are replaced while we run."""
        at = self._at
        try:
            if at.token is not None:
                return _header("Bearer", at.token.resolve("signals.prometheus.token").reveal())
            if at.username is not None and at.password is not None:
                password = at.password.resolve("signals.prometheus.password").reveal()
                return _header("Basic", b64encode(f"{at.username}:{password}".encode()).decode())
        except UsageError as error:
            raise _Unusable(error.message) from None
        return {}

    # -- reading

    def _read(self, at_s: float, result: list[Any], pods: Sequence[Place]) -> Sampling:
        names = {httpx2.URL(place.url).netloc.decode(): place.name.removeprefix("pod/") for place in pods}
        targets: dict[str, dict[str, _Moments]] = {}
        scraped: dict[str, tuple[float, float]] = {}
        for series in result:
            labels, values = _series(series)
            name, instance = labels.pop("__name__", ""), labels.get("instance", "")
            pod = labels.get(self._at.pod_label) or names.get(instance, instance)
            if name == "up":
                scraped[pod] = max([scraped.get(pod, (0.0, 0.0)), *values])
                continue
            moments, key = targets.setdefault(pod, {}).setdefault(instance, {}), tuple(sorted(labels.items()))
            for moment, value in values:
                moments.setdefault(moment, {}).setdefault(name, {})[key] = value
        readings: list[Reading] = []
        unknown: dict[str, str] = {}
        for pod, found in targets.items():
            problems: tuple[str, ...] = ()
            if _overlap(found):
                unknown[_source(pod)] = (
                    "Prometheus has two targets of it at the same time: narrow signals.prometheus.match"
                )
                continue
            for moment, samples in sorted((item for of_one in found.values() for item in of_one.items()), key=_first):
                one = self._vocabulary.read(pod, moment, samples)
                readings += [one.reading] if one.reading is not None else []
                problems = one.problems  # those of the newest moment
            if problems:
                unknown[_source(pod)] = "; ".join(problems)
        if not readings and not unknown:
            unknown["prometheus"] = f"an empty result: no series matches {self._query}"
        for pod in [pod for pod, (_, up) in scraped.items() if up != 1]:
            unknown[_source(pod)] = "Prometheus could not scrape it the last time"
        for name in names.values() if targets else ():
            if name not in targets and not set(targets) <= {""}:
                unknown.setdefault(_source(name), f"Prometheus has no sample of it in the last {self._at.lookback:g} s")
        return Sampling(at_s, tuple(readings), unknown)


def selector(names: Sequence[str], labels: Mapping[str, str]) -> str:
    """A selector of several metrics with these labels, in the language's own quoting.

    JSON's escapes are among those of PromQL's double quotes. A name of a metric has nothing that a regular expression
    reads otherwise.
    """
    matchers = [f"__name__=~{json.dumps('|'.join(names))}"]
    matchers += [f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in labels.items()]
    return "{" + ",".join(matchers) + "}"


def _result(status: int | None, body: bytes, kinds: Sequence[str]) -> list[Any]:
    """The result in an answer. Raises _Unusable for everything that is not a whole and undoubted one."""
    said = f"status {status}"
    try:
        answer = json.loads(body, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise _Unusable(f"{said}, and the answer is not JSON") from None
    if not isinstance(answer, dict) or answer.get("status") not in ("success", "error"):
        raise _Unusable(f"{said}, and the answer is not one of Prometheus' API")
    if answer["status"] == "error" or status != 200:
        kind = answer.get("errorType")
        known = kind if isinstance(kind, str) and _KIND.fullmatch(kind) else "an error without a kind"
        raise _Unusable(f"{said}: Prometheus says {known}")
    if answer.get("warnings"):
        raise _Unusable("the answer has warnings: it may be in part only")
    data = answer.get("data")
    found = data.get("result") if isinstance(data, dict) else None
    if not isinstance(data, dict) or data.get("resultType") not in kinds or not isinstance(found, list):
        raise _Unusable(f"the result is no {' or '.join(kinds)}")
    return [{"metric": {}, "value": found}] if data["resultType"] == "scalar" else found


def _points(result: list[Any]) -> list[Point]:
    points = []
    for series in result:
        if not isinstance(series, dict) or "value" not in series:
            _malformed()
        labels, [(at_s, value)] = _series({"metric": series.get("metric"), "values": [series["value"]]})
        points.append(Point(labels, at_s, value))
    return points


def _series(series: Any) -> tuple[dict[str, str], list[tuple[float, float]]]:
    """Labels, and moments with values, oldest first. Raises _Unusable."""
    labels, values = (series.get("metric"), series.get("values")) if isinstance(series, dict) else (None, None)
    if not isinstance(labels, dict) or not isinstance(values, list):
        _malformed()
    if not all(isinstance(value, str) for value in labels.values()):
        _malformed()
    found = []
    for pair in values:
        if not (isinstance(pair, list) and len(pair) == 2 and isinstance(pair[1], str)):
            _malformed()
        moment = pair[0]
        if isinstance(moment, bool) or not isinstance(moment, int | float):
            _malformed()
        try:
            found.append((float(moment), float(pair[1])))
        except (ValueError, OverflowError):
            _malformed()
    if not all(math.isfinite(moment) for moment, _ in found):
        _malformed()
    return dict(labels), found


def _malformed() -> NoReturn:
    raise _Unusable("the result has a series that is none")


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _header(scheme: str, value: str) -> dict[str, str]:
    if not (value.isascii() and value.isprintable()):
        raise _Unusable("the credentials have characters that no header can carry")
    return {"Authorization": f"{scheme} {value}"}


def _overlap(targets: Mapping[str, _Moments]) -> bool:
    """Whether two targets were measured in turn: their counters would look like one that restarts all the time.

    One after the other is a pod that came back with another address.
    """
    spans = sorted((min(moments), max(moments)) for moments in targets.values() if moments)
    return any(later[0] <= earlier[1] for earlier, later in pairwise(spans))


def _first(item: tuple[float, object]) -> float:
    return item[0]


def _source(pod: str) -> str:
    return f"pod/{pod}" if pod else "prometheus"
