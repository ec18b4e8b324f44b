"""How bad it is: one table from the trigger and the impact (R3); and what the five manual triggers mean (R9)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from codeblue.model.incident import Impact, Level, Role, Severity
from codeblue.profile.people import Plan, SeverityPlan

_S1, _S2, _S3, _S4 = Severity.SEV1, Severity.SEV2, Severity.SEV3, Severity.SEV4

#: Trigger → (outage, degraded, none). The profile's `severity.table` changes single cells.
DEFAULTS: Final[Mapping[str, tuple[Severity, Severity, Severity]]] = {
    "health": (_S1, _S2, _S3),
    "error_rate": (_S1, _S2, _S3),
    "latency": (_S2, _S2, _S3),
    "memory": (_S2, _S3, _S3),
    "ai": (_S2, _S2, _S3),
    "alert": (_S2, _S3, _S4),
    "security": (_S1, _S1, _S2),
    "corruption": (_S1, _S1, _S2),
    "patient-safety": (_S1, _S1, _S1),
    "regulatory": (_S1, _S2, _S2),
    "unrecoverable": (_S1, _S1, _S2),
    "signals": (_S3, _S3, _S3),
    "inhibition": (_S3, _S3, _S3),
    "other": (_S2, _S3, _S4),
}

#: The requirement's id by which a verdict names its rule, and the trigger's name in the table.
_RULES: Final = {"R4": "health", "R5": "error_rate", "R6": "latency", "R7": "memory", "R8": "ai"}

#: What a trigger does to those who use the service where nobody says.
_IMPACT: Final = {
    "health": Impact.OUTAGE,
    "unrecoverable": Impact.OUTAGE,
    "security": Impact.NONE,
    "regulatory": Impact.NONE,
    "alert": Impact.DEGRADED,
    "signals": Impact.NONE,
    "inhibition": Impact.NONE,
}


@dataclass(frozen=True, slots=True)
class Manual:
    """What a manual trigger starts (R9).

    Attributes:
        means: the trigger in the field's words.
        procedures: the requirements whose procedures answer it; none of them is a runbook of this version yet.
        freeze: no change without an approval while it is open.
        at_once: the level that is paged at once: L3 with those below it, L4 beside the ladder; None: by the severity.
        told: who is told outside of the levels.
        next_step: what a person does first.
    """

    means: str
    procedures: str
    freeze: bool
    at_once: Level | None
    told: tuple[Role, ...]
    next_step: str


MANUAL: Final[Mapping[str, Manual]] = {
    "security": Manual(
        "critical security vulnerability",
        "R34 to R38",
        freeze=True,
        at_once=None,
        told=(Role.SECURITY,),
        next_step="isolate the service and keep the evidence by hand",
    ),
    "corruption": Manual(
        "data corruption",
        "R29 to R33",
        freeze=True,
        at_once=None,
        told=(Role.CLINICAL_LEAD,),
        next_step="stop the writers and keep the bad state by hand, before anything is restored",
    ),
    "patient-safety": Manual(
        "patient safety concern",
        "R20",
        freeze=True,
        at_once=Level.L4,
        told=(Role.CLINICAL_LEAD,),
        next_step="switch the AI features off by hand, at once",
    ),
    "regulatory": Manual(
        "regulatory violation",
        "freeze, evidence",
        freeze=True,
        at_once=Level.L3,
        told=(Role.CLINICAL_LEAD,),
        next_step="change nothing without an approval, and keep the evidence",
    ),
    "unrecoverable": Manual(
        "unrecoverable degradation",
        "R22 to R28 with the detailed rollback",
        freeze=True,
        at_once=None,
        told=(),
        next_step="`codeblue rollback --reason …`, or repair by hand",
    ),
    "other": Manual(
        "declared by a person",
        "",
        freeze=False,
        at_once=None,
        told=(),
        next_step="look at `codeblue status`",
    ),
}


def trigger_name(rule: str) -> str:
    """The trigger's name in the table, from a verdict's rule or an incident's trigger; "other" for an unknown one."""
    name = _RULES.get(rule, rule)
    return name if name in DEFAULTS else "other"


def impact_of(trigger: str, said: str = "") -> Impact:
    """What was said of the impact, else what the trigger means by itself."""
    if said in (i.value for i in Impact):
        return Impact(said)
    return _IMPACT.get(trigger_name(trigger), Impact.DEGRADED)


def severity_of(plan: SeverityPlan, trigger: str, impact: Impact | None = None) -> Severity:
    """The severity of an incident.

    Args:
        plan: the profile's `severity`.
        trigger: a verdict's rule ("R4") or a manual trigger ("patient-safety").
        impact: None: what the trigger means by itself.
    """
    name = trigger_name(trigger)
    impact = impact if impact is not None else impact_of(name)
    stated = plan.table.get(name, {}).get(impact.value)  # type: ignore[call-overload]
    return Severity[stated] if stated else DEFAULTS[name][list(Impact).index(impact)]


def plan_of(plan: SeverityPlan, severity: Severity) -> Plan:
    """What a severity means for the ladder."""
    return {_S1: plan.sev1, _S2: plan.sev2, _S3: plan.sev3, _S4: plan.sev4}[severity]


def severity_named(name: str) -> Severity:
    """A severity from its recorded form; the worst for one that nobody knows: then somebody looks at it."""
    return Severity[name] if name in Severity.__members__ else Severity.SEV1


def told_of(trigger: str, *, ai_off: bool) -> tuple[Role, ...]:
    """Who is told outside of the levels (R3)."""
    manual = MANUAL.get(trigger)
    told = manual.told if manual else ()
    return (*told, Role.CLINICAL_LEAD) if ai_off and Role.CLINICAL_LEAD not in told else told
