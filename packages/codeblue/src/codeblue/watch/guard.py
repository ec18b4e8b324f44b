"""Whether the record takes part: no loop may look alive that has none, and a process that has none ends itself.

What a loop does without a record it forgets: nothing is opened, nobody is paged, nothing is done. So the heart does not
beat while any loop fails for want of the record, and after `GRACE_S` the process stands down, so that a standby or
whoever starts it anew takes over, and the one outside calls people (`watchdog`).
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from codeblue.model.errors import CodeBlueError, Damaged, RecordUnusable
from codeblue.model.ids import new_id
from codeblue.model.incident import Level, Severity
from codeblue.model.page import Fate, Page
from codeblue.ports.channel import Channel
from codeblue.ports.clock import Clock
from codeblue.ports.record import RecordStore
from codeblue.profile.model import Profile
from codeblue.record.pages import NOTICE
from codeblue.rules.escalation import Call, ladder_of, people
from codeblue.rules.paging import MAX_SUMMARY, page_key
from codeblue.watch.pager import SEND_S

#: How often it is found out by writing whether the record takes events, where nothing happens that has to be recorded.
PROBE_EVERY_S = 10.0
#: How long a loop may be without a record (a database that starts anew) before the process stands down.
GRACE_S = 30.0
#: Only who had a record for so long before calls people without one: with the grace, at most once a minute.
GOOD_FOR_S = 30.0
#: Limit of everything that calling people without a record may take.
CALL_S = 30.0


@dataclass
class RecordGuard:
    """Keeps account of which loops fail for want of the record, and since when.

    Attributes:
        good_s: for how long the record was good before it failed.
    """

    record: RecordStore
    clock: Clock
    good_s: float = 0.0
    _failing: dict[str, float] = field(default_factory=dict)
    _good_since: float | None = None
    _probed: float | None = None

    def probe(self) -> None:
        """Find out by writing, when it is time to. Raises as `RecordStore.probe`."""
        now = self.clock.monotonic()
        if self._probed is None or now - self._probed >= PROBE_EVERY_S:
            self.record.probe()
            self._probed = now

    def worked(self, loop: str) -> None:
        """A cycle of this loop ended, and not for want of the record."""
        self._failing.pop(loop, None)
        if self._good_since is None and not self._failing:
            self._good_since = self.clock.monotonic()

    def failed(self, loop: str, error: CodeBlueError) -> bool:
        """A cycle of this loop ended with an error. Returns whether the process has to stand down because of it."""
        if not isinstance(error, (RecordUnusable, Damaged)):
            self.worked(loop)
            return False
        now = self.clock.monotonic()
        if self._good_since is not None:
            self.good_s, self._good_since = now - self._good_since, None
        self._probed = None
        return now - self._failing.setdefault(loop, now) >= GRACE_S

    @property
    def failing(self) -> bool:
        """Whether a loop is without the record at this moment."""
        return bool(self._failing)


async def call_without_record(channels: Sequence[Channel], profile: Profile, clock: Clock) -> str:
    """Tell the people of level 1 that nobody watches any more; nothing of it is recorded, so it is tried once.

    Returns:
        who was told over what, in one sentence.
    """
    told: list[str] = []
    id_ = new_id("page", clock.now())
    summary = f"{profile.service}: Code Blue stands down, its record cannot be used; it watches and pages no more"
    with suppress(TimeoutError):
        async with asyncio.timeout(CALL_S):
            for role in people(ladder_of(profile.escalation), Level.L1):
                for channel in channels:
                    page = Page(
                        key=page_key(id_, Call(NOTICE, 0, role), channel.name),
                        incident=id_,
                        level=NOTICE,
                        cycle=0,
                        role=role,
                        severity=Severity.SEV1,
                        summary=summary[:MAX_SUMMARY],
                        details=(("service", profile.service),),
                        next_step="look at the service yourself; then mend the record, and start `codeblue serve`",
                    )
                    if channel.reaches(page) and await _taken(channel, page):
                        told.append(f"{role.value} over {channel.name}")
                        break
    return f"told without a record: {', '.join(told)}" if told else "NOBODY could be told"


async def _taken(channel: Channel, page: Page) -> bool:
    try:
        async with asyncio.timeout(SEND_S):
            return (await channel.send(page)).fate is Fate.ACCEPTED
    except (CodeBlueError, TimeoutError):
        return False
