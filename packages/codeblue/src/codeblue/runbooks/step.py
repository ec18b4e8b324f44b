"""Steps: the plan, the run, its verification and readiness are the same code (docs/architecture.md, "Steps")."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from codeblue.model.change import Change, Fence, Receipt
from codeblue.model.verdict import Verdict
from codeblue.ports.clock import Clock
from codeblue.ports.commands import Commands
from codeblue.ports.flags import FlagStore
from codeblue.ports.platform import Platform
from codeblue.ports.prober import Prober
from codeblue.ports.record import RecordStore
from codeblue.ports.reports import Reports
from codeblue.ports.signals import Signals
from codeblue.profile.model import Profile

Seen = TypeVar("Seen")
Inputs = TypeVar("Inputs")


@dataclass(frozen=True, slots=True)
class World:
    """The ports that a runbook may use, and the profile.

    Attributes:
        flags: where the feature flags are; None where the profile does not say.
    """

    platform: Platform
    prober: Prober
    signals: Signals
    commands: Commands
    record: RecordStore
    reports: Reports
    clock: Clock
    profile: Profile
    flags: FlagStore | None = None


class Step(ABC):
    """What all kinds of steps have.

    Attributes:
        id: unique within the runbook, stable: it is recorded.
        title: what people read, in the imperative.
        limit_s: the longest that the step may take, within the run's own deadline.
        cleanup: it runs also when an earlier step failed, and its failure never hides that one.
    """

    id: str
    title: str
    limit_s: float
    cleanup: bool = False


class Ensure(Step, Generic[Seen]):
    """Bring about a state. Verifying is observing again and finding no change; resuming asks the same question."""

    @abstractmethod
    async def observe(self) -> Seen:
        """A fresh look at the target."""

    @abstractmethod
    def change(self, seen: Seen) -> Change | None:
        """What is still to be done; None when the state holds. Pure.

        Raises:
            Refused, Failed: the state must not, or can no longer, be brought about.
        """

    @abstractmethod
    async def apply(self, change: Change, fence: Fence) -> Receipt:
        """Do it. Errors as `Platform.apply`."""

    def holds(self, seen: Seen) -> str:
        """One line that says what was seen when nothing is left to do."""
        return "as wanted"


class Check(Step):
    """A probe with a verdict, asked again until it passes, fails for good or runs out of time.

    Attributes:
        every_s: from one asking to the next.
        attempts: at most so many; 0 means until the limit.
    """

    every_s: float = 1.0
    attempts: int = 0

    @abstractmethod
    async def probe(self) -> Verdict:
        """One asking. A temporary error counts as unknown."""


class Make(Step):
    """Make a thing once. A second attempt, after a crash, finds the first one's work by its key.

    Attributes:
        key: what makes it this thing and no other; comes from the inputs, so every attempt has the same.
    """

    key: str

    @abstractmethod
    async def find(self) -> str | None:
        """A reference to the thing if it is there already, else None."""

    @abstractmethod
    async def make(self) -> str:
        """Make it. Returns the reference."""

    @abstractmethod
    async def prove(self, reference: str) -> Verdict:
        """Look at the thing itself."""

    def digests(self) -> Mapping[str, str]:
        """SHA-256 by place of the files that were made, read from there, for the record; empty where it is no file."""
        return {}


class Runbook(ABC, Generic[Inputs]):
    """One procedure of the document.

    Attributes:
        name: the verb's name and the record's.
        title: what people read.
        changes: whether it changes anything; one that does not needs no lease.
        yields: whether it gives way: a run of a procedure that does not is never kept waiting by one that does.
        safe_state: what holds when it failed, announced with the failure.
    """

    name: str
    title: str
    changes: bool = True
    yields: bool = False
    safe_state: str

    @abstractmethod
    def deadline_s(self, profile: Profile) -> float:
        """The one budget that bounds the whole run, in seconds."""

    @abstractmethod
    async def resolve(self, world: World, request: Any) -> Inputs:
        """Find out what to do; reads only. The result is frozen: references and digests, no secret, no patient data.

        Raises:
            Refused: it would not be safe. Unreachable: it cannot be told; nothing was changed.
        """

    @abstractmethod
    def steps(self, inputs: Inputs, world: World, run: str) -> list[Step]:
        """The steps for these inputs, always the same for the same inputs.

        Args:
            run: the run's id, which changes carry to the target; "" for a plan.
        """

    @abstractmethod
    def load(self, data: dict[str, Any]) -> Inputs:
        """The inputs from their recorded form."""

    def plan(self, inputs: Inputs) -> list[str]:
        """What the person should know before agreeing, one line each."""
        return []
