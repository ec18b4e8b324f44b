"""One night with everything that a report tells of: a bad release, rolled back, verified, with pages and curves."""

from datetime import timedelta
from typing import Any

from tests.unit.record.events import INCIDENT, START, Story

from codeblue.model.event import Draft
from codeblue.model.health import Outcome
from codeblue.record.chain import GENESIS, seal
from codeblue.record.curves import KIND, Curves, Signal, markers_of

VERIFICATION = "run-20260105t030400z-cccccc"
ADA = "person:ada (ada@laptop)"
FORWARD = "R5: 41.7 % of 312 requests over 120 s > 5 %"
THRESHOLDS = {Signal.ERRORS: 0.05, Signal.P95: 30.0, Signal.MEMORY: 0.95}


class Night(Story):
    """As `Story`, with the seconds that things take.

    Args:
        other: what somebody else's text is, wherever one can be.
    """

    def __init__(self, other: str = "status 503") -> None:
        super().__init__()
        self.other, self.passed_s = other, 35.0
        self._opened()
        self._told()
        self._rolled_back()
        self._verified()
        self.add(KIND, curves().event_data(1000.0, THRESHOLDS, markers_of(self.events)), incident=INCIDENT)
        self.add(
            "incident.noted", {"text": f"no migration: {other}", "about": "root-cause"}, incident=INCIDENT, actor=ADA
        )
        self.add("incident.noted", {"text": f"called the ward: {other}"}, incident=INCIDENT, actor=f"person:{other}")

    def add(self, kind: str, data: dict[str, Any] | None = None, *, run: str = "", incident: str = "", actor="engine"):
        self.passed_s += 0.25
        at = START + timedelta(seconds=self.passed_s)
        previous = self.events[-1].hash if self.events else GENESIS
        draft = Draft(kind, actor, data or {}, run=run, incident=incident)
        self.events.append(seal(draft, service="api", seq=len(self.events) + 1, at=at, previous=previous))

    def _opened(self) -> None:
        why = f"4 consecutive failures > 3: {self.other}"
        self.opened(why=why, in_force={"release": "x", "label": f"2.5.0 ({self.other})"})
        verdicts = [
            {"rule": "R4", "outcome": "breach", "why": why, "final": False, "pods": []},
            {"rule": "R5", "outcome": "breach", "why": FORWARD[4:], "final": False, "pods": []},
            {"rule": "R8", "outcome": "unknown", "why": "3 calls in 120 s < 20", "final": False, "pods": ["api-1"]},
        ]
        options = [
            {"action": "rollback", "reasons_for": [f"R4: {why}", FORWARD], "reasons_against": []},
            {"action": "disable_flags", "reasons_for": ["R8: 12 %"], "reasons_against": ["more than the AI fails: R4"]},
        ]
        decision = {
            "action": "rollback",
            "sentence": f"rollback: R4: {why}",
            "mode": "act",
            "verdicts": verdicts,
            "options": options,
            "pods": [],
            "limits": [
                "cooldown: there was no automatic rollback before",
                "budget: 0 automatic rollbacks in 3600 s < 2",
            ],
            "releases": ["target: revision 7, 2.4.1", f"passed over: revision 8, 2.4.9: bad ({self.other})"],
        }
        self.add("incident.decided", decision, incident=INCIDENT, actor="watch")

    def page(self, level: str, role: str, channel: str, fate: str, why: str = "", cycle: int = 0) -> None:
        who = {"level": level, "cycle": cycle, "role": role, "key": f"{level} {cycle} {role} {channel}"}
        sent = {**who, "channel": channel, "round": 0, "severity": "SEV1", "elapsed_s": 1.0}
        self.add("page.intended", sent, incident=INCIDENT, actor="pager")
        if fate:
            self.add("page.delivered", {**who, "fate": fate, "reference": "x", "why": why}, incident=INCIDENT)

    def _told(self) -> None:
        self.page("L1", "on_call", "pagerduty", "accepted")
        self.page("L1", "on_call", "slack", "unknown", self.other)
        who = {"level": "notice", "cycle": 0, "role": "clinical_lead"}
        self.add("page.unrouted", {**who, "why": "no channel has an address"}, incident=INCIDENT)
        self.add("status_page.intended", {"status": "investigating"}, incident=INCIDENT)
        posted = {"id": "p31zj", "status": "investigating", "url": "https://status.example.org/p31zj"}
        self.add("status_page.posted", posted, incident=INCIDENT)
        self.add("incident.acknowledged", {"level": "L1"}, incident=INCIDENT, actor=ADA)
        self.add("incident.escalated", {"level": "L2", "why": self.other}, incident=INCIDENT, actor=ADA)

    def _rolled_back(self) -> None:
        inputs = {"origin_label": f"2.5.0 ({self.other})", "target_label": "2.4.1 (0c77fe)", "origin_release": "x"}
        self.requested(inputs=inputs, reason=self.other)
        self.run("run.approved", actor=ADA, digest="d1")
        self.run("run.started", deadline=(START + timedelta(seconds=400)).isoformat())
        for step in ("preflight", "template"):
            self.run("step.started", step=step, limit_s=10)
            self.passed_s += 10
            if step == "template":
                self.run("step.applied", step=step, change={"summary": f"2.5.0 → {self.other}"}, accepted="version 88")
            self.run("step.ended", step=step, state="done", why=f"seen: {self.other}", remedy="")
        self.run("run.ended", state="done", why="every step is proven", remedy="", exit_code=0)

    def _verified(self) -> None:
        steps = [{"id": "health", "title": self.other, "limit_s": 10}]
        left_out = [f"redis: not offered: {self.other}"]
        self.requested(VERIFICATION, runbook="recovery", inputs={"left_out": left_out}, steps=steps, reason="after it")
        self.run("run.started", VERIFICATION, deadline=(START + timedelta(seconds=400)).isoformat())
        self.run("step.started", VERIFICATION, step="health", limit_s=10)
        self.run("step.ended", VERIFICATION, step="health", state="done", why="p95 of 10 requests is 43 ms", remedy="")
        self.run("run.ended", VERIFICATION, state="done", why="every step is proven", remedy="", exit_code=0)
        self.add(
            "incident.mitigated", {"why": f"2.4.1 is proven healthy: {self.other}"}, incident=INCIDENT, actor="watch"
        )


def curves() -> Curves:
    """A look every five seconds; the incident was opened at 1000 s; two gaps, one of a single look."""
    kept = Curves()
    for n in range(-60, 20):
        bad, outage = -35 <= n * 5 < 30, -30 <= n < -26
        health = Outcome.UNKNOWN if n == 3 else Outcome.BREACH if bad else Outcome.OK
        errors = None if outage or n == 3 else 0.42 + n / 1000 if bad else 0.004
        kept.add(1000.0 + n * 5, health, errors, None if outage else 2.3 if bad else 0.31, 0.55 + n / 1000)
    return kept
