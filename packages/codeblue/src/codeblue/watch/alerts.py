"""What others say: the alerts that fire now, as the loop asks for them in each cycle."""

from datetime import datetime

from codeblue.model.health import Outcome
from codeblue.model.verdict import Verdict
from codeblue.ports.record import RecordStore
from codeblue.record.alerts import ALERT_KINDS, AlertFold, AlertView, Truncation, breaches


class AlertWatch:
    """The alerts of a record; reads only what was appended since it was asked last.

    Args:
        expires_s: `api.alert_expires` of the profile.
    """

    def __init__(self, record: RecordStore, expires_s: float) -> None:
        self._record, self._fold = record, AlertFold(expires_s)

    def firing(self, at: datetime) -> tuple[AlertView, ...]:
        """Those that fire now, oldest first. Raises as `RecordStore.read`."""
        self._catch_up()
        return self._fold.firing(at)

    def verdicts(self, at: datetime, *, after: datetime | None = None) -> tuple[Verdict, ...]:
        """A breach for each trigger that a firing alert names ("R4" … "R8"); nothing for the others.

        Args:
            after: only alerts that were recorded after this count. An alert fires on for minutes after what it was
                about is repaired: what was there before the last mitigation is no new breach.

        Raises:
            As `RecordStore.read`.
        """
        fresh = [a for a in self.firing(at) if after is None or a.received > after]
        return tuple(
            Verdict(trigger, Outcome.BREACH, f"Alertmanager says that {a.name} fires since {a.starts_at:%H:%M:%S} UTC")
            for trigger, a in breaches(fresh).items()
        )

    def left_out(self) -> tuple[Truncation, ...]:
        """The messages that left alerts out since this was asked last: each has to page.

        Raises:
            As `RecordStore.read`.
        """
        self._catch_up()
        return self._fold.take_truncations()

    def _catch_up(self) -> None:
        while events := self._record.read(after=self._fold.seq, kinds=ALERT_KINDS, limit=1000):
            for event in events:
                self._fold.add(event)
