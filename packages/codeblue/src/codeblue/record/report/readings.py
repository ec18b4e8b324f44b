"""What a curve says, in words: for those who cannot see it, and for where it is not drawn."""

from collections.abc import Sequence

from codeblue.record.curves import CurvesView, Signal

TITLES = {
    Signal.HEALTH: "Health",
    Signal.ERRORS: "Error rate",
    Signal.P95: "p95 response time",
    Signal.MEMORY: "Memory, working set ÷ limit",
}


def reading_of(view: CurvesView, signal: Signal) -> str:
    """A curve in a sentence: how many readings and how many of them unknown, their extremes, its limit."""
    values = [value for _, value in view.curves[signal]]
    known = [value for value in values if value is not None]
    unknown = len(values) - len(known)
    count = f"{TITLES[signal]}: {len(values)} readings, {unknown} of them unknown"
    if not known:
        return f"{TITLES[signal]}: not recorded" if not values else count
    if signal is Signal.HEALTH:
        return f"{count}; {sum(value == 0 for value in known)} failed"
    said = f"{count}; lowest {amount(signal, min(known))}, highest {amount(signal, max(known))}"
    limit = view.thresholds.get(signal)
    return said if limit is None else f"{said}; limit {amount(signal, limit)}"


def amount(signal: Signal, value: float) -> str:
    """A value with its unit."""
    match signal:
        case Signal.HEALTH:
            return "passing" if value else "failing"
        case Signal.P95:
            return f"{value:.3g} s" if value < 100 else f"{value:.0f} s"
        case _:
            percent = value * 100
            return f"{percent:.3g} %" if percent < 100 else f"{percent:.0f} %"


def after(seconds: float) -> str:
    """A time relative to the opening: "+1 min 30 s", "−30 s"."""
    sign = "−" if seconds < 0 else "+"
    minutes, rest = divmod(round(abs(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    parts: Sequence[tuple[int, str]] = ((hours, "h"), (minutes, "min"), (rest, "s"))
    said = " ".join(f"{count} {unit}" for count, unit in parts if count)
    return f"{sign}{said}" if said else "0 s"
