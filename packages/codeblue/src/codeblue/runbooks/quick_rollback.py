"""Quick rollback (R11): back to the known-good template, seen on every pod, healthy, within one budget of 300 s."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from codeblue.model.change import Change, Fence, Receipt
from codeblue.model.errors import Failed, NothingToDo, Refused, Unreachable
from codeblue.model.health import Outcome
from codeblue.model.release import Mark, Revision, Standing, Template, Workload
from codeblue.model.verdict import Verdict
from codeblue.ports.platform import Room
from codeblue.profile.model import Profile
from codeblue.rules.known_good import Choice, choose
from codeblue.runbooks.rollout import Healthy, Rollout, Stable, reverted
from codeblue.runbooks.step import Check, Ensure, Runbook, Step, World

#: Shares of the 300 s (R11): preflight 10, change 5 when all is well; the change may wait for an API server to return.
PREFLIGHT_S = 10.0
CHANGE_S = 120.0


@dataclass(frozen=True, slots=True)
class Request:
    """What the person or the watch asks for.

    Attributes:
        to: a revision's number or version; "" for the known-good one.
        at_once: replace all pods at once (`--surge`).
        allow_bad: go to `to` although it is quarantined.
        leave_known_good: also leave a release that is itself known-good (`policy: literal`); naming `to` says the same.
    """

    to: str = ""
    at_once: bool = False
    allow_bad: bool = False
    leave_known_good: bool = False


@dataclass(frozen=True, slots=True)
class Inputs:
    """Frozen before anything is changed; digests and names only.

    Attributes:
        base: `Template.exact` of the revision that is gone back to.
        target: `Template.exact` after today's secret references were laid over it (D15).
        origin: `Template.exact` of what ran when this was decided; anything else is not ours to replace.
        uid: of the workload itself: one of the same name that was made anew is another.
        notes: what the person should know before agreeing.
    """

    base: str
    target: str
    target_label: str
    target_version: str
    target_revision: int
    target_release: str
    origin: str
    origin_label: str
    origin_release: str
    origin_generation: int
    uid: str
    replicas: int
    at_once: bool
    because: str
    notes: tuple[str, ...]


class QuickRollback(Runbook[Inputs]):
    """See the module."""

    name = "quick_rollback"
    title = "Quick rollback"
    safe_state = (
        "The workload keeps the template that it has now, and nothing is tried again by itself; `codeblue verify` "
        "tells how it is."
    )

    def deadline_s(self, profile: Profile) -> float:
        return profile.runbooks.quick_rollback.deadline

    async def resolve(self, world: World, request: Request) -> Inputs:
        seen = await self._settled(world)
        _refuse_unsafe(seen, world.platform.target)
        history = await world.platform.history()
        choice = _choose(history, seen, request)
        known_good = seen.standing(seen.template) is Standing.KNOWN_GOOD
        if known_good and not (request.to or request.leave_known_good):
            raise _already_good(seen, choice)
        revision = choice.revision
        if revision is None:
            raise Refused(
                f"There is no known-good revision to roll back to: {choice.because}. Nothing was changed.\n"
                + "\n".join(f"  - {line}" for line in choice.passed_over),
                remedy="Name one yourself with `--to REVISION`; `codeblue verify --mark-known-good` proves a release "
                "before the next emergency.",
            )
        notes = [f"passed over: {line}" for line in choice.passed_over]
        if known_good:
            notes.append(f"{seen.template.label} is known-good now, and will be quarantined: you go back from it")
        if revision.runnable is None:
            notes.append(f"it cannot be told in advance whether the target can start: {revision.why_not}")
        overlay = await world.platform.overlay(revision.template, seen.template)
        notes += overlay.notes
        notes += [f"{owner.kind} {owner.name}: {owner.remedy}" for owner in seen.owners]
        at_once = False
        if request.at_once:
            room = await world.platform.room(overlay.template, seen.desired)
            at_once = room.fits is True
            notes.append(_room_note(room))
        return Inputs(
            base=revision.template.exact,
            target=overlay.template.exact,
            target_label=overlay.template.label,
            target_version=overlay.template.version,
            target_revision=revision.number,
            target_release=overlay.template.release,
            origin=seen.template.exact,
            origin_label=seen.template.label,
            origin_release=seen.template.release,
            origin_generation=seen.generation,
            uid=seen.uid,
            replicas=seen.desired,
            at_once=at_once,
            because=choice.because,
            notes=tuple(notes),
        )

    def steps(self, inputs: Inputs, world: World, run: str) -> list[Step]:
        run_limit = self.deadline_s(world.profile)
        steps: list[Step] = [
            Preflight(world, inputs),
            ReplaceTemplate(world, inputs, run),
            Rollout(world, inputs.target, run_limit, uid=inputs.uid),
        ]
        if inputs.at_once:
            steps.append(RestoreStrategy(world))
        steps.append(Healthy(world, inputs.target_version))
        if world.profile.verify.stable_for > 0:
            steps.append(Stable(world, inputs.target, inputs.target_version, uid=inputs.uid))
        return steps

    def load(self, data: dict[str, Any]) -> Inputs:
        return Inputs(**{**data, "notes": tuple(data["notes"])})

    def plan(self, inputs: Inputs) -> list[str]:
        return [
            f"from {inputs.origin_label} to {inputs.target_label}, revision {inputs.target_revision}",
            inputs.because,
            f"{inputs.replicas} pods, {'all at once' if inputs.at_once else 'by the rolling strategy of the workload'}",
            *inputs.notes,
        ]

    async def _settled(self, world: World) -> Workload:
        """An observation that the controller has caught up with: before that, history can be a step behind."""
        until = world.clock.monotonic() + PREFLIGHT_S
        while True:
            seen = await world.platform.observe()
            if seen.observed_generation >= seen.generation:
                return seen
            if world.clock.monotonic() > until:
                raise Unreachable(
                    f"The controller of {world.platform.target} has not seen generation {seen.generation} within "
                    f"{PREFLIGHT_S:g} s (it is at {seen.observed_generation}). Nothing was changed.",
                    remedy="Check the platform's controller; without it no change of a template has any effect.",
                )
            await world.clock.sleep(0.2)


class Preflight(Check):
    """What was true when the target was chosen still is."""

    id, title, limit_s, every_s = "preflight", "Check that the workload is as it was when this was decided", 10.0, 0.5

    def __init__(self, world: World, inputs: Inputs) -> None:
        self._world, self._inputs = world, inputs

    async def probe(self) -> Verdict:
        seen = await self._world.platform.observe()
        _refuse_unsafe(seen, self._world.platform.target)
        if seen.uid != self._inputs.uid or seen.template.exact not in (self._inputs.origin, self._inputs.target):
            raise _somebody_else(seen, self._world.platform.target)
        return Verdict("preflight", Outcome.OK, f"{seen.desired} replicas, generation {seen.generation}, not paused")


class ReplaceTemplate(Ensure[tuple[Workload, Template | None]]):
    """The one change: the target's template, and the quarantine of the release it replaces, in one patch."""

    id, title, limit_s = "template", "Put the known-good template in force", CHANGE_S

    def __init__(self, world: World, inputs: Inputs, run: str) -> None:
        self._world, self._inputs, self._run = world, inputs, run

    async def observe(self) -> tuple[Workload, Template | None]:
        platform = self._world.platform
        seen = await platform.observe()
        if seen.template.exact == self._inputs.target:
            return seen, seen.template
        for revision in await platform.history():
            if revision.template.exact == self._inputs.base:
                return seen, (await platform.overlay(revision.template, seen.template)).template
        return seen, None

    def change(self, seen: tuple[Workload, Template | None]) -> Change | None:
        workload, wanted = seen
        inputs, target = self._inputs, self._world.platform.target
        if workload.template.exact == inputs.target:
            return None
        if (
            self._run and workload.run == self._run
        ):  # noted at the target by our own accepted patch: it was put back since
            verdict = reverted(workload, inputs.target)
            raise Failed(verdict.why if verdict else "the template changed")
        if workload.template.exact != inputs.origin:
            raise _somebody_else(workload, target)
        _refuse_unsafe(workload, target)  # it may have been paused since the preflight
        if wanted is None:
            raise Refused(
                f"The chosen revision is gone from the history of {target}. Nothing was changed.",
                remedy="Run the rollback again, it chooses anew.",
            )
        if wanted.exact != inputs.target:
            raise Refused(
                f"The secrets that {target} refers to changed since this was decided. Nothing was changed.",
                remedy="Run the rollback again, it lays today's references over the target.",
            )
        mark = Mark(Standing.BAD, self._world.clock.now(), self._run, f"rolled back from by {self._run}")
        return self._world.platform.replace_template(
            workload, wanted, {inputs.origin_release: mark}, at_once=inputs.at_once, run=self._run
        )

    async def apply(self, change: Change, fence: Fence) -> Receipt:
        return await self._world.platform.apply(change, fence)

    def holds(self, seen: tuple[Workload, Template | None]) -> str:
        return f"{self._inputs.target_label} is in force"


class RestoreStrategy(Ensure[Workload]):
    """Put the strategy back that the all-at-once replacement set aside; also after a failure or a crash."""

    id, title, limit_s, cleanup = "strategy", "Put the rollout strategy back", 60.0, True

    def __init__(self, world: World) -> None:
        self._world = world

    async def observe(self) -> Workload:
        return await self._world.platform.observe()

    def change(self, seen: Workload) -> Change | None:
        return self._world.platform.restore_strategy(seen)

    async def apply(self, change: Change, fence: Fence) -> Receipt:
        return await self._world.platform.apply(change, fence)

    def holds(self, seen: Workload) -> str:
        return "the strategy is the workload's own"


def _refuse_unsafe(seen: Workload, target: str) -> None:
    """States in which a rollback would do nothing, or be undone (docs/semantics.md). Raises Refused."""
    if seen.paused:
        raise Refused(
            f"{target} is paused: a rollback would have no effect. Nothing was changed.",
            remedy=f"Find out who paused it and why; then `kubectl rollout resume deployment/{seen.name}`.",
        )
    if seen.desired == 0:
        raise Refused(
            f"{target} is scaled to 0: there is no pod to roll back. Nothing was changed.",
            remedy="Scale it up first, if it is meant to run.",
        )
    for owner in seen.owners:
        if owner.reverts:
            raise Refused(
                f"{target} is owned by {owner.kind} {owner.name}, which would undo the rollback. Nothing was changed.",
                remedy=owner.remedy,
            )


def _somebody_else(seen: Workload, target: str) -> Refused:
    return Refused(
        f"{target} got another template since this was decided: {seen.template.label}, by field manager "
        f"{seen.template_manager or 'unknown'!r}. It is not ours to replace.",
        remedy="Find out who released at this moment, then run the rollback again.",
    )


def _already_good(seen: Workload, choice: Choice) -> NothingToDo:
    """A second call of the same command must not walk back through one good release after the other."""
    mark = seen.marks[seen.template.release]
    back = choice.revision
    there = f"`--to {back.number}` goes back to {back.template.label}" if back else "`--to REVISION` names another one"
    return NothingToDo(
        f"{seen.template.label} is in force, and it is known-good since {mark.at:%Y-%m-%d %H:%M} UTC ({mark.why}): "
        "there is no bad release to roll back from. Nothing was changed.",
        remedy=f"`codeblue verify` tells how it is now. If it is bad all the same, {there} and quarantines it.",
    )


def _choose(history: Sequence[Revision], seen: Workload, request: Request) -> Choice:
    if not request.to:
        return choose(history, seen.marks, seen.template)
    named = [r for r in history if request.to in (str(r.number), r.template.version)]
    if not named:
        there = ", ".join(f"{r.number} ({r.template.version})" for r in history)
        raise Refused(f"There is no revision {request.to!r}. Nothing was changed.", remedy=f"The history has: {there}.")
    revision = max(named, key=lambda r: r.number)
    if revision.template.exact == seen.template.exact:
        raise Refused(
            f"Revision {revision.number} ({revision.template.label}) is what runs already. Nothing was changed.",
            remedy="`codeblue verify` tells whether it is healthy.",
        )
    standing = seen.standing(revision.template)
    if standing is Standing.BAD and not request.allow_bad:
        mark = seen.marks[revision.template.release]
        raise Refused(
            f"Revision {revision.number} ({revision.template.label}) is quarantined: {mark.why}. Nothing was changed.",
            remedy="Choose another one, or add `--allow-bad` if you know better.",
        )
    if revision.runnable is False:
        raise Refused(
            f"Revision {revision.number} ({revision.template.label}) cannot start: {revision.why_not}. "
            "Nothing was changed.",
            remedy="Choose another one, or bring back what is missing.",
        )
    return Choice(revision, f"revision {revision.number}, {revision.template.label}: named by you, {standing}")


def _room_note(room: Room) -> str:
    if room.fits is True:
        return f"all pods at once: {room.why}"
    return f"not all pods at once, the normal way instead: {room.why}"
