"""The incident's report (R47, B12): written from the record up to an event, so that every attempt writes the same."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from codeblue.model.errors import Refused, Temporary
from codeblue.model.event import Event
from codeblue.model.health import Outcome
from codeblue.model.verdict import Verdict
from codeblue.ports.reports import Form, Kept
from codeblue.profile.model import Profile
from codeblue.record.incidents import IncidentView, fold_incidents
from codeblue.record.report import gather, to_markdown
from codeblue.record.report.html import to_html
from codeblue.runbooks.step import Make, Runbook, Step, World


@dataclass(frozen=True, slots=True)
class Request:
    """Which incident."""

    incident: str


@dataclass(frozen=True, slots=True)
class Inputs:
    """Frozen, so that every attempt writes the same.

    Attributes:
        upto: number of the last event that the report takes in, besides the request of its own run.
        deployed: when the platform first saw the release that was in force at the detection, ISO 8601; "" where that is
            unknown.
    """

    incident: str
    upto: int
    deployed: str = ""


class IncidentReport(Runbook[Inputs]):
    """See the module."""

    name = "incident_report"
    title = "Incident report"
    changes = False
    safe_state = "The record has everything; the report can be written again at any time."

    def deadline_s(self, profile: Profile) -> float:
        return 60.0

    async def resolve(self, world: World, request: Request) -> Inputs:
        events = world.record.read(incident=request.incident) if request.incident else ()
        incident = fold_incidents(events).get(request.incident)
        if incident is None:
            raise Refused(f"There is no incident {request.incident!r}.", remedy="`codeblue incident list` shows them.")
        return Inputs(request.incident, events[-1].seq, await _deployed(world, incident))

    def steps(self, inputs: Inputs, world: World, run: str) -> list[Step]:
        return [WriteReport(inputs, world, run)]

    def load(self, data: dict[str, Any]) -> Inputs:
        return Inputs(**data)


class WriteReport(Make):
    """The report as two files; proven by reading both back."""

    id, title, limit_s = "report", "Write the report", 30.0

    def __init__(self, inputs: Inputs, world: World, run: str) -> None:
        self._inputs, self._world, self._run = inputs, world, run
        self.key = f"{inputs.incident}@{inputs.upto}"

    async def find(self) -> str | None:
        kept = self._kept()
        return kept[Form.MARKDOWN].place if self._differs(kept) is None else None

    async def make(self) -> str:
        places = {f: self._world.reports.save(self._inputs.incident, f, t).place for f, t in self._written().items()}
        return places[Form.MARKDOWN]

    async def prove(self, reference: str) -> Verdict:
        kept = self._kept()
        wrong = self._differs(kept)
        if wrong is not None:
            place = kept[wrong].place if wrong in kept else f"the {wrong.value} file that belongs to {reference}"
            return Verdict(self.id, Outcome.BREACH, f"{place} is not what was written")
        return Verdict(self.id, Outcome.OK, "; ".join(f"{k.place}, SHA-256 {k.sha256[:16]}" for k in kept.values()))

    def digests(self) -> Mapping[str, str]:
        return {kept.place: kept.sha256 for kept in self._kept().values()}

    def _kept(self) -> dict[Form, Kept]:
        found = {form: self._world.reports.find(self._inputs.incident, form) for form in Form}
        return {form: kept for form, kept in found.items() if kept is not None}

    def _differs(self, kept: Mapping[Form, Kept]) -> Form | None:
        """The first form whose file is not what it must be."""
        written = self._written().items()
        return next((f for f, text in written if f not in kept or kept[f].sha256 != _digest(text)), None)

    def _written(self) -> dict[Form, str]:
        """What the files must say: always the same for the same inputs."""
        events = self._world.record.read(incident=self._inputs.incident)
        facts = gather([e for e in events if self._takes_in(e)], self._inputs.incident)
        return {Form.MARKDOWN: to_markdown(facts), Form.HTML: to_html(facts)}

    def _takes_in(self, event: Event) -> bool:
        """The events up to the report, and its own request: what the platform was asked for it is recorded there."""
        return event.seq <= self._inputs.upto or (event.kind == "run.requested" and event.run == self._run)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


async def _deployed(world: World, incident: IncidentView) -> str:
    """When the platform first saw the release that was in force when the incident was opened.

    A report is written also where the platform cannot be asked: then this is not recorded.
    """
    if incident.in_force is None:
        return ""
    try:
        history = await world.platform.history()
    except (Refused, Temporary):
        return ""
    times = [r.created for r in history if r.template.release == incident.in_force.release and r.created is not None]
    return min(times).isoformat(timespec="seconds") if times else ""
