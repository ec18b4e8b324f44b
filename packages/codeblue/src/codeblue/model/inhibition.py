"""What looks like an outage and is none (R1b)."""

from dataclasses import dataclass
from datetime import datetime

from codeblue.model.anchor import Anchor


@dataclass(frozen=True, slots=True)
class Inhibition:
    """Something that explains an outage.

    Attributes:
        kind: "scale-down", "declared" (by a person), "maintenance", "isolation".
        why: one line.
        by: who brought it about.
        expires: when it counts no longer, released or not.
        anchor: of `begun`.
    """

    kind: str
    why: str
    by: str
    begun: datetime
    expires: datetime
    anchor: Anchor | None = None
