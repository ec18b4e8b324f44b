"""Numbers as verdicts say them, with all the digits that the arithmetic needs."""

from collections.abc import Sequence

from codeblue.rules.windows import Windows


def counted(value: float) -> str:
    """10000.0 → "10,000", 30.25 → "30.25"."""
    return f"{value:,.0f}" if value == int(value) else f"{value:,.6g}"


def percent(fraction: float) -> str:
    """0.0501 → "5.01 %"."""
    return f"{100 * fraction:.6g} %"


def seconds(value: float) -> str:
    """90.0 → "90 s"; to the millisecond."""
    return f"{round(value, 3):.10g} s"


def blind(why: str, seen: Windows) -> str:
    """Why nothing is known, with the first source that failed: mostly its cause."""
    if not seen.unknown:
        return why if seen.pods else f"{why}: there is no pod"
    source, reason = seen.unknown[0]
    more = f" and {len(seen.unknown) - 1} more" if len(seen.unknown) > 1 else ""
    return f"{why} ({source}: {reason}{more})"


def named(items: Sequence[str], shown: int = 3) -> str:
    """The first few, and how many more."""
    more = f" and {len(items) - shown} more" if len(items) > shown else ""
    return ", ".join(items[:shown]) + more
