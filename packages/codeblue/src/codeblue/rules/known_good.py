"""Which revision a rollback goes to (B2), and when a release becomes known-good."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from codeblue.model.release import Mark, Revision, Standing, Template


@dataclass(frozen=True, slots=True)
class Choice:
    """A target, or the reasons why there is none.

    Attributes:
        revision: the chosen one, None if there is none.
        because: why this one, in one line.
        passed_over: one line for each newer revision, with the reason why not.
    """

    revision: Revision | None
    because: str
    passed_over: tuple[str, ...] = ()


def choose(history: Sequence[Revision], marks: Mapping[str, Mark], current: Template) -> Choice:
    """The newest known-good revision that is another release than the current one and may still be runnable.

    "Previous" is never a reason (D23): good → bad1 → bad2 goes to good. Where the platform cannot tell whether the
    target can start (`runnable is None`), it counts as a candidate, and the caller says so.
    """
    passed: list[str] = []
    for revision in sorted(history, key=lambda r: r.number, reverse=True):
        name = f"revision {revision.number}, {revision.template.label}"
        if revision.template.release == current.release:
            if not revision.current:
                passed.append(f"{name}: the same release as the current one")
            continue
        mark = marks.get(revision.template.release)
        if mark is None:
            passed.append(f"{name}: unproven, it never soaked healthy")
        elif mark.standing is Standing.BAD:
            passed.append(f"{name}: bad since {mark.at:%Y-%m-%d %H:%M} UTC ({mark.why})")
        elif revision.runnable is False:
            passed.append(f"{name}: known-good, but it cannot start: {revision.why_not}")
        else:
            return Choice(
                revision, f"{name}: known-good since {mark.at:%Y-%m-%d %H:%M} UTC ({mark.why})", tuple(passed)
            )
    return Choice(None, f"there is no other known-good release in its history of {len(history)}", tuple(passed))


@dataclass(frozen=True, slots=True)
class Soak:
    """How long a release has been seen healthy without a break: from its first healthy look to its last one."""

    release: str = ""
    since: datetime | None = None
    seen: datetime | None = None

    def advance(self, release: str, healthy: bool | None, at: datetime, *, gap_s: float) -> "Soak":
        """The soak after one more observation.

        Args:
            healthy: False breaks it. None (unknown) breaks it as well: what was not seen was not healthy (B5).
            gap_s: two looks further apart than this say nothing about the time between them: it begins anew.
        """
        if healthy is not True:
            return Soak(release)
        if release != self.release or self.since is None or self.seen is None:
            return Soak(release, at, at)
        return Soak(release, self.since if (at - self.seen).total_seconds() <= gap_s else at, at)

    @property
    def seconds(self) -> float:
        """Length of the soak so far, 0 when it is broken."""
        return (self.seen - self.since).total_seconds() if self.since and self.seen else 0.0
