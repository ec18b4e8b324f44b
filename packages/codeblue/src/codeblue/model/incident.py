"""How bad it is, and whom it concerns (R2, R3)."""

from enum import IntEnum, StrEnum


class Severity(IntEnum):
    """SEV1 is the worst. It is derived from the trigger and the impact by one table of the profile."""

    SEV1 = 1
    SEV2 = 2
    SEV3 = 3
    SEV4 = 4

    @property
    def text(self) -> str:
        """Its recorded form: "SEV1"."""
        return f"SEV{int(self)}"


class Level(IntEnum):
    """The document's levels: L1 [0,15) min, L2 [15,30), L3 from 30, L4 critical patient safety, at once."""

    L1 = 1
    L2 = 2
    L3 = 3
    L4 = 4


class Role(StrEnum):
    """Who is reached: the keys of the profile's `contacts`."""

    ON_CALL = "on_call"
    DEVOPS_LEAD = "devops_lead"
    AI_TEAM = "ai_team"
    SECURITY = "security"
    CLINICAL_LEAD = "clinical_lead"
    CTO = "cto"
    CLINICAL_DIRECTOR = "clinical_director"
    CEO = "ceo"
    CMO = "cmo"


class Impact(StrEnum):
    """What the trouble does to those who use the service."""

    OUTAGE = "outage"
    DEGRADED = "degraded"
    NONE = "none"
