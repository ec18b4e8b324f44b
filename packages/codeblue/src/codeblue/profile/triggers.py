"""When the signals of the service speak against it: the triggers R5 to R8 of a profile (docs/triggers.md)."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from codeblue.profile.refusal import refusal
from codeblue.profile.section import Section
from codeblue.profile.units import Fraction, Seconds, duration, percentage

Mode = Literal["observe", "ask", "act"]


def _can_be_exceeded(share: float) -> float:
    if share >= 1:
        raise refusal("can never be exceeded: no share is above 100 %", "write less than 100 %")
    return share


#: A limit that a share can be above.
Limit = Annotated[Fraction, AfterValidator(_can_be_exceeded)]


def _mode() -> Any:
    return Field(
        default="observe", description="observe: say what would be done; ask: wait for an approval; act: do it."
    )


def _minimum(what: str) -> Any:
    return Field(
        default=20,
        ge=1,
        le=1_000_000,
        description=f"Fewer {what} than this within the window say nothing (1 to 1000000).",
    )


class _Windowed(Section):
    """A limit that every window of a time must exceed."""

    window: Seconds = duration("2m", ge=2, le=900, description="What one look goes back over (2s to 15m).")
    lasting: Seconds = duration("2m", ge=2, le=3600, description="For how long in all, window included (2s to 1h).")

    @model_validator(mode="after")
    def _longer_than_a_window(self) -> "_Windowed":
        if self.lasting < self.window:
            raise refusal(
                "is shorter than the window",
                "write at least as much as window, or a shorter window",
                at=("lasting",),
                quiet=True,
            )
        return self


class ErrorsTrigger(_Windowed):
    """R5: the share of failed requests."""

    threshold: Limit = percentage("5 %", description="Fires when more than this share of the requests failed.")
    window: Seconds = duration("30s", ge=2, le=900, description="What one look goes back over (2s to 15m).")
    minimum: int = _minimum("requests")
    mode: Mode = _mode()


class LatencyTrigger(_Windowed):
    """R6: the 95th percentile of the response time."""

    threshold: Seconds = duration(
        "30s", ge=0.001, le=3600, description="Fires when the 95th percentile is above this (1ms to 1h)."
    )
    minimum: int = _minimum("requests")
    mode: Mode = _mode()


class MemoryTrigger(Section):
    """R7: working set ÷ memory limit, for each pod."""

    threshold: Limit = percentage("95 %", description="Fires when a pod uses more than this share of its limit.")
    window: Seconds = duration("30s", ge=2, le=900, description="How old a measurement may be (2s to 15m).")
    lasting: Seconds = duration("5m", ge=2, le=3600, description="For how long without a break (2s to 1h).")
    after_oom: Seconds = duration(
        "2m", ge=2, le=900, description="How long an OOM kill counts as being above the limit (2s to 15m)."
    )
    mode: Mode = _mode()


class AiTrigger(_Windowed):
    """R8: the share of failed calls of the model."""

    threshold: Limit = percentage("10 %", description="Fires when more than this share of the calls failed.")
    minimum: int = _minimum("calls")
    mode: Mode = _mode()
