"""Over which channel a call goes next (R2): what was tried in, one step out. No clock, no I/O.

The primary channel first; on a refusal, an unknown outcome, or a provider that stays down, the next one; after the last
one a pause, and then anew: never silence.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from codeblue.model.page import Fate
from codeblue.record.pages import Attempt

#: The pause after all channels failed; it doubles with each round, up to the second value.
PAUSE_S, LONGEST_PAUSE_S = 15.0, 60.0


@dataclass(frozen=True, slots=True)
class Route:
    """A channel that has an address for the role.

    Attributes:
        keyed: the provider takes the page's key, so a second attempt after a crash cannot page twice (B3).
    """

    channel: str
    keyed: bool


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a channel that is down is tried before the next one takes over."""

    tries: int
    within_s: float


@dataclass(frozen=True, slots=True)
class Send:
    """Send it over this channel now."""

    channel: str
    round: int


@dataclass(frozen=True, slots=True)
class Count:
    """An attempt without an outcome counts as this from now on."""

    attempt: Attempt
    fate: Fate
    why: str


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do before this elapsed time; None: it is under way."""

    until_s: float | None


@dataclass(frozen=True, slots=True)
class Delivered:
    """A provider accepted it."""


@dataclass(frozen=True, slots=True)
class Nobody:
    """No channel has an address."""


Step = Send | Count | Wait | Delivered | Nobody


def next_step(
    attempts: Sequence[Attempt], routes: Sequence[Route], elapsed_s: float, patience: Patience, *, flying: str = ""
) -> Step:
    """What to do about a call now.

    Args:
        attempts: those of the record, in their order.
        routes: the channels that reach the role, the primary one first.
        flying: the channel that a living process is sending over: its intent without an outcome is no crash.
    """
    if any(a.state == Fate.ACCEPTED for a in attempts):
        return Delivered()
    if flying:
        return Wait(None)
    orphan = next((a for a in attempts if a.state in ("intended", "deferred") and not _known(a, routes)), None)
    if orphan is not None:
        return Count(orphan, Fate.UNKNOWN, f"{orphan.channel} is no channel of this person any more")
    if not routes:
        return Nobody()
    round_ = max((a.round for a in attempts), default=0)
    for route in _of_round(routes, attempts, round_):
        tried = next((a for a in attempts if a.round == round_ and a.channel == route.channel), None)
        if tried is None:
            return Send(route.channel, round_)
        step = _again(tried, route, elapsed_s, patience)
        if step is not None:
            return step
    ended = max(a.last_s for a in attempts)
    ready = ended + min(PAUSE_S * 2 ** min(round_, 30), LONGEST_PAUSE_S)
    if elapsed_s < ready:
        return Wait(ready)
    return Send(next(iter(_of_round(routes, attempts, round_ + 1))).channel, round_ + 1)


def _again(tried: Attempt, route: Route, elapsed_s: float, patience: Patience) -> Step | None:
    """What follows for an attempt that was made; None: it failed, and the next channel takes over."""
    spent = tried.tries >= (patience.tries if tried.round == 0 else 1)
    match tried.state:
        case "intended" if not route.keyed:
            return Count(tried, Fate.UNKNOWN, "interrupted: it may have been sent or not, and this channel has no key")
        case "intended" if spent:
            return Count(tried, Fate.UNKNOWN, f"interrupted, {tried.tries} tries")
        case "intended":
            return Send(tried.channel, tried.round)
        case "deferred" if spent or tried.not_before_s > tried.first_s + patience.within_s:
            spent_s = max(tried.last_s, tried.first_s) - tried.first_s
            return Count(
                tried, Fate.REFUSED, f"not accepted in {tried.tries} tries within {spent_s:.0f} s: {tried.why}"
            )
        case "deferred":
            ready = elapsed_s >= tried.not_before_s
            return Send(tried.channel, tried.round) if ready else Wait(tried.not_before_s)
    return None


def _of_round(routes: Sequence[Route], attempts: Sequence[Attempt], round_: int) -> Sequence[Route]:
    """The channels of a round: one without a key whose outcome is unknown may have paged, and is used again only where
    there is no other."""
    doubtful = {a.channel for a in attempts if a.state == Fate.UNKNOWN and a.round < round_}
    kept = [r for r in routes if r.keyed or r.channel not in doubtful]
    return kept or routes


def _known(attempt: Attempt, routes: Sequence[Route]) -> bool:
    return any(r.channel == attempt.channel for r in routes)
