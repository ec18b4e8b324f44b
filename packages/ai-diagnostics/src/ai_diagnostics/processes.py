"""The report of all worker processes, and whether they agree (R21, B7). No I/O here.

A report that is older than `FRESH_S` comes from a process that is frozen, cut off or dead: it is never counted as
proof, and after `GONE_S` it no longer stands in the way of one. Who knows the platform compares with its pods.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ai_diagnostics.control import ControlState

FRESH_S, GONE_S = 4.0, 60.0


@dataclass(frozen=True)
class Agreement:
    """Whether every process applies the stored values.

    Attributes:
        processes: the reports, each with `age_s` and `live`; those that are gone are left out.
        disagreements: in words, one per process and value; also processes that no longer report.
    """

    processes: Sequence[Mapping[str, object]]
    disagreements: Sequence[str]

    @property
    def agreed(self) -> bool:
        """Whether there is a process, and none disagrees. No process at all proves nothing."""
        return bool(self.processes) and not self.disagreements


def agreement(state: ControlState, reports: Sequence[Mapping[str, object]], now: float | None = None) -> Agreement:
    """Compare reports with the stored state; `now` is Unix seconds."""
    at = time.time() if now is None else now
    shown: list[Mapping[str, object]] = []
    problems: list[str] = []
    for report in reports:
        seen_at = report.get("seen_at")
        age_s = at - seen_at if isinstance(seen_at, int | float) else GONE_S + 1
        if age_s > GONE_S:
            continue
        live, name = age_s <= FRESH_S, f"{report.get('pod')}/{report.get('pid')}"
        shown.append({**report, "age_s": round(max(0.0, age_s), 3), "live": live})
        if not live:
            problems.append(f"{name} has not reported for {age_s:.0f} s")
            continue
        applied = {**_values(report.get("flags")), **_values(report.get("modes"))}
        problems += [
            f"{name} applies {setting}={applied.get(setting)!r}, stored is {state.value(setting)!r}"
            for setting in state.settings
            if applied.get(setting) != state.value(setting)
        ]
    return Agreement(shown, problems)


def _values(entries: object) -> dict[str, object]:
    if not isinstance(entries, dict):
        return {}
    return {name: entry.get("value") for name, entry in entries.items() if isinstance(entry, dict)}
