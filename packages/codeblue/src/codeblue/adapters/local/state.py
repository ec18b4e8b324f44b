"""What is wanted of a local workload, and every transition of it as a pure function."""

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from codeblue.adapters.local.template import parse
from codeblue.model.change import Change, Fence
from codeblue.model.errors import Conflict, LeaseLost, Refused
from codeblue.model.release import Mark, Standing, Template

#: How replicas are replaced: how many more than wanted may exist meanwhile.
ROLLING = '{"surge":1}'
AT_ONCE = '{"surge":"all"}'

#: Former templates that are kept, as a Deployment keeps them by default.
HISTORY_LIMIT = 10

#: Replicas that were to be replaced and are remembered; far more than there can be at a time.
REPLACED_LIMIT = 200

#: Marks of templates that are no more in the history; more of them are forgotten, oldest first.
MARKS_LIMIT = 50


@dataclass(frozen=True, slots=True)
class Entry:
    """One revision of the history."""

    number: int
    body: str
    created: datetime


@dataclass(frozen=True, slots=True)
class State:
    """The specification of one workload; `Workload` documents the fields that it shares.

    Attributes:
        version: grows with every write, the precondition of changes.
        generation: grows with every change of the template or of the replica count.
        history: newest first; the first one is in force.
        run: the run that last changed the template, or "".
        replaced: uids of replicas that are to be replaced by others of the same template.
    """

    name: str
    uid: str
    template: Template
    desired: int
    health_path: str
    service_port: int
    history: tuple[Entry, ...]
    version: int = 1
    generation: int = 1
    manager: str = "deploy"
    strategy: str = ROLLING
    surged: str = ""
    epoch: int = 0
    run: str = ""
    marks: Mapping[str, Mark] = field(default_factory=dict)
    replaced: tuple[str, ...] = ()

    def with_template(self, template: Template, manager: str, at: datetime) -> "State":
        """Put a template in force. One that was there before comes back with a new number, as in a Deployment."""
        if template.exact == self.template.exact:
            return replace(self, version=self.version + 1, manager=manager)
        former = [e for e in self.history if parse(e.body).exact != template.exact]
        entry = Entry(self.history[0].number + 1, template.body, at)
        return replace(
            self,
            template=template,
            manager=manager,
            history=(entry, *self._kept(former)),
            version=self.version + 1,
            generation=self.generation + 1,
        )

    def with_epoch(self, epoch: int) -> "State":
        """Stamp a lease's epoch.

        Raises:
            LeaseLost: a later one is there already.
        """
        if epoch < self.epoch:
            raise LeaseLost(f"{self.name} carries epoch {self.epoch}, ours is {epoch}: somebody else took over.")
        return replace(self, epoch=epoch, version=self.version + 1)

    def with_change(self, change: Change, fence: Fence, at: datetime) -> "State":
        """Accept one of our own changes, whole or not at all.

        Raises:
            LeaseLost: another epoch is stamped. Conflict: this is no more what the change was derived from.
            Refused: its content is no change of this platform.
        """
        if fence.epoch != self.epoch:
            raise LeaseLost(
                f"{self.name} refused our change: it carries epoch {self.epoch}, ours is {fence.epoch}.",
                remedy="It was taken over, changed or deleted: find out who acts now, `codeblue status` there tells.",
            )
        if change.precondition != str(self.version):
            raise Conflict(
                f"{self.name} is at version {self.version}, and the change was made for version {change.precondition}.",
                remedy="Observe again, then decide again.",
            )
        try:
            body = json.loads(change.body)
            marks = marks_from(body.get("marks", {}))
            template = parse(body["template"]) if "template" in body else None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise Refused(f"The body of the {change.kind!r} change is not one of this platform: {error}.") from error
        after = replace(self, marks=self._limited({**self.marks, **marks}))
        if body.get("at_once") and not after.surged:
            after = replace(after, surged=after.strategy, strategy=AT_ONCE)
        if "strategy" in body:
            after = replace(after, strategy=str(body["strategy"]), surged="")
        if "replace" in body:
            after = replace(after, replaced=(*after.replaced, str(body["replace"]))[-REPLACED_LIMIT:])
        if template is not None:
            return replace(after.with_template(template, "codeblue", at), run=str(body.get("run", "")))
        return replace(after, version=after.version + 1)

    @property
    def surge(self) -> int:
        """How many more replicas than wanted may exist during a rollout."""
        return self.desired if self.strategy == AT_ONCE else 1

    def _kept(self, former: list[Entry]) -> list[Entry]:
        """The former entries that stay; of those too many, the newest known-good one is never the one to go (B2)."""
        kept = former[:HISTORY_LIMIT]
        if not any(self._good(e) for e in kept):
            rescued = next((e for e in former[HISTORY_LIMIT:] if self._good(e)), None)
            if rescued is not None:
                kept[-1] = rescued
        return kept

    def _good(self, entry: Entry) -> bool:
        mark = self.marks.get(parse(entry.body).release)
        return mark is not None and mark.standing is Standing.KNOWN_GOOD

    def _limited(self, marks: dict[str, Mark]) -> dict[str, Mark]:
        known = {parse(e.body).release for e in self.history}
        others = sorted((r for r in marks if r not in known), key=lambda r: marks[r].at)
        for release in others[:-MARKS_LIMIT]:
            del marks[release]
        return marks


def new_state(
    name: str, template: Template, *, replicas: int, health_path: str, service_port: int, at: datetime
) -> State:
    """The state of a workload that was just made."""
    return State(
        name=name,
        uid=uuid.uuid4().hex,
        template=template,
        desired=replicas,
        health_path=health_path,
        service_port=service_port,
        history=(Entry(1, template.body, at),),
    )


def to_json(state: State) -> dict[str, Any]:
    """The state as it is written."""
    return {
        "name": state.name,
        "uid": state.uid,
        "template": state.template.body,
        "desired": state.desired,
        "health_path": state.health_path,
        "service_port": state.service_port,
        "history": [{"number": e.number, "body": e.body, "created": e.created.isoformat()} for e in state.history],
        "version": state.version,
        "generation": state.generation,
        "manager": state.manager,
        "strategy": state.strategy,
        "surged": state.surged,
        "epoch": state.epoch,
        "run": state.run,
        "marks": marks_to(state.marks),
        "replaced": list(state.replaced),
    }


def from_json(data: Mapping[str, Any]) -> State:
    """The reverse of `to_json`. Raises KeyError, ValueError, UsageError for damaged data."""
    plain = {k: v for k, v in data.items() if k not in ("template", "history", "marks", "replaced")}
    history = tuple(Entry(e["number"], e["body"], datetime.fromisoformat(e["created"])) for e in data["history"])
    return State(
        template=parse(data["template"]),
        history=history,
        marks=marks_from(data["marks"]),
        replaced=tuple(data.get("replaced", ())),
        **plain,
    )


def marks_to(marks: Mapping[str, Mark]) -> dict[str, dict[str, str]]:
    """Marks as JSON data."""
    return {
        release: {"standing": m.standing.value, "at": m.at.isoformat(), "by": m.by, "why": m.why}
        for release, m in marks.items()
    }


def marks_from(data: Mapping[str, Mapping[str, str]]) -> dict[str, Mark]:
    """The reverse of `marks_to`."""
    return {
        release: Mark(Standing(m["standing"]), datetime.fromisoformat(m["at"]).astimezone(UTC), m["by"], m["why"])
        for release, m in data.items()
    }
