"""Releases that are bad on purpose: what `RELEASE_FAULT` may say, in one place. No I/O here.

A release is a template (image, environment, `RELEASE_VERSION`); a bad release is the same template with a fault, so
that a rollback can be tried on a real service that is really ill. Several faults are joined with commas:

| fault            | what the release then does                                                                       |
|------------------|--------------------------------------------------------------------------------------------------|
| `health`         | every `/api/health*` answers 503                                                                 |
| `health-after:S` | the same, from S seconds after the start: a release that is healthy first                        |
| `lies`           | every `/api/health*` answers 200 `ok`, whatever the checks say, and the workflow fails            |
| `errors:RATE`    | this share (0–1) of the API requests answers 500; health, metrics and operator routes are spared |
| `slow:S`         | API requests take S seconds longer                                                               |
| `ai:RATE`        | this share (0–1) of the model calls fails                                                        |
| `memory:MB`      | the workers together leak MB mebibytes within about ten seconds, and keep them                   |
| `crash`          | exits with 1 at the start, before it listens                                                     |
| `crash-after:S`  | listens, and exits with 1 after S seconds                                                        |
| `stuck-flags:I`  | worker number I (0-based) never applies a changed flag or mode, and reports its old values        |
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

_WITHOUT_ARGUMENT = ("health", "lies", "crash")
_RATES = ("errors", "ai")
_SECONDS = ("health-after", "crash-after", "slow")
_COUNTS = ("memory", "stuck-flags")
KNOWN = (*_WITHOUT_ARGUMENT, *_RATES, *_SECONDS, *_COUNTS)


@dataclass(frozen=True)
class Faults:
    """The faults of this release; the default is a good release.

    Rates are shares from 0 to 1, `_s` are seconds, `memory_mib` mebibytes, `stuck_worker` a 0-based worker number.
    """

    health: bool = False
    lies: bool = False
    crash: bool = False
    errors_rate: float = 0.0
    ai_rate: float = 0.0
    health_after_s: float | None = None
    crash_after_s: float | None = None
    slow_s: float = 0.0
    memory_mib: int = 0
    stuck_worker: int | None = None

    def unhealthy(self, uptime_s: float) -> bool:
        """Whether the health endpoints answer 503 after `uptime_s` seconds because of a fault."""
        return self.health or (self.health_after_s is not None and uptime_s >= self.health_after_s)


def parse(text: str) -> Faults:
    """Read `RELEASE_FAULT`.

    Raises:
        ValueError: an unknown fault or a bad argument; the message lists what is known. A typing error must not
            give a good release that somebody takes for a bad one.
    """
    values: dict[str, bool | float | int] = {}
    for item in filter(None, (part.strip() for part in text.split(","))):
        name, _, argument = item.partition(":")
        if name in _WITHOUT_ARGUMENT:
            if argument:
                raise ValueError(f"RELEASE_FAULT: {name!r} takes no argument")
            values[name] = True
        elif name in _RATES:
            values[f"{name}_rate"] = _number(name, argument, upper=1.0)
        elif name == "memory":
            values["memory_mib"] = int(_number(name, argument))
        elif name == "stuck-flags":
            values["stuck_worker"] = int(_number(name, argument))
        elif name in _SECONDS:
            values[f"{name.replace('-', '_')}_s"] = _number(name, argument)
        else:
            raise ValueError(f"RELEASE_FAULT: unknown fault {name!r}; known are {', '.join(KNOWN)}")
    return Faults(**values)  # type: ignore[arg-type]  # the keys above are the field names, with their types


def _number(name: str, argument: str, upper: float = math.inf) -> float:
    try:
        number = float(argument)
    except ValueError:
        raise ValueError(f"RELEASE_FAULT: {name} needs a number, as in {name}:{0.2 if upper == 1 else 20}") from None
    if not 0 <= number <= upper or not math.isfinite(number):
        raise ValueError(f"RELEASE_FAULT: {name}:{argument} is outside 0 to {upper:g}")
    return number


@dataclass
class Share:
    """Says yes for an exact share of the questions: 0.2 gives every fifth a yes.

    Counting instead of throwing dice: a test that waits for one error in five need not be lucky.
    """

    rate: float
    _owed: float = field(default=0.0)

    def hit(self) -> bool:
        """Whether this one is chosen."""
        self._owed += self.rate
        if self._owed < 1.0 - 1e-9:
            return False
        self._owed -= 1.0
        return True
