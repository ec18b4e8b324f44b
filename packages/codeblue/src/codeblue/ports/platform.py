"""What runs the protected service and can be asked to run another release of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from codeblue.model.change import Change, Fence, Receipt
from codeblue.model.release import Mark, Pod, Revision, Template, Workload


@dataclass(frozen=True, slots=True)
class Overlay:
    """A template of the past with the secret references of today (D15).

    Attributes:
        template: what should be started. Its `release` equals that of the template it came from.
        notes: one line for each reference that was replaced, kept or could not be judged.
    """

    template: Template
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Room:
    """Whether all replicas can be replaced at once.

    Attributes:
        fits: True, False, or None where it cannot be told (which is treated as False, and said).
        why: the arithmetic.
    """

    fits: bool | None
    why: str


@dataclass(frozen=True, slots=True)
class Usage:
    """Resource use of one pod at one moment (R45). `memory_limit` is None without a limit."""

    pod: str
    cpu_cores: float
    memory_bytes: int
    memory_limit: int | None


@dataclass(frozen=True, slots=True)
class PodFacts:
    """What the platform knows of one live pod without asking it (R7). None: the platform cannot know.

    Attributes:
        restarts: of its containers since the pod exists.
        oom_kills: how often a container of it was killed for memory, as far as this client saw: it grows with each kill
            while the pod lives, and begins anew with another client. A kill that did not end a container is not in it.
        memory_bytes: working set now.
        memory_limit: of all containers together; None without a limit as well.
    """

    pod: str
    restarts: int
    oom_kills: int | None = None
    memory_bytes: int | None = None
    memory_limit: int | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Where a probe can ask.

    Attributes:
        name: "service" or "pod/NAME".
        url: base URL without a trailing slash.
    """

    name: str
    url: str


@dataclass(frozen=True, slots=True)
class Routing:
    """The Service in front of the pods.

    Attributes:
        service: where clients come in, None where there is no Service.
        pods: the pods that are meant to stay, each by itself.
        backends: names of the pods behind the Service that get traffic now.
        strangers: backends that are not pods of the workload ("10.0.0.7", "proxy-5"): they could answer in its place.
    """

    service: Place | None
    pods: tuple[Place, ...]
    backends: tuple[str, ...]
    strangers: tuple[str, ...] = ()


class Platform(Protocol):
    """A workload with replicas, a template and a history. `KubernetesPlatform` and `LocalPlatform` keep this contract.

    The shared contract suite is `codeblue.testing.contracts.platform`.
    """

    @property
    def target(self) -> str:
        """The workload in the platform's own words, for messages ("Deployment prod/api, context kt")."""

    async def identity(self) -> str:
        """Whom the platform takes us for, by its own authentication; never what the environment claims (R1, D13).

        Raises as `observe`.
        """

    async def observe(self) -> Workload:
        """A fresh read, never a cache.

        Raises:
            NotFound: there is no such workload. Forbidden: we may not read it. Unreachable: no answer in time.
        """

    async def history(self) -> tuple[Revision, ...]:
        """All revisions that can be gone back to, newest first, the current one included.

        `runnable` is filled where the platform can know. Raises as `observe`.
        """

    async def overlay(self, wanted: Template, current: Template) -> Overlay:
        """`wanted` with the secret references of `current` (D15). Reads only; raises as `observe`."""

    def replace_template(
        self, seen: Workload, wanted: Template, marks: Mapping[str, Mark], *, at_once: bool, run: str
    ) -> Change:
        """The change from what was seen to `wanted`, as data; nothing is sent.

        Args:
            seen: the observation it is derived from, and the precondition.
            marks: standings to write in the same change (the quarantined release).
            at_once: replace all replicas at once; the former strategy is kept at the target until `restore_strategy`.
            run: the run's id, noted at the target.
        """

    def restore_strategy(self, seen: Workload) -> Change | None:
        """The change that puts the strategy back that an all-at-once replacement set aside; None if there is none."""

    def mark(self, seen: Workload, marks: Mapping[str, Mark]) -> Change | None:
        """The change that adds these standings; None when the target has them already."""

    def replace_pod(self, seen: Workload, pod: Pod) -> Change | None:
        """The change that ends this very pod, so that another one is started in its place; None when it is gone.

        A budget against disruption that the platform keeps (a PDB) holds: `apply` raises Unreachable while it forbids
        that.
        """

    async def apply(self, change: Change, fence: Fence) -> Receipt:
        """Send one change.

        The target itself refuses it when the precondition or the fence's epoch no longer holds. May be called twice
        with the same change: the second is refused.

        Raises:
            Conflict: the workload moved on; observe again. LeaseLost: a newer epoch is stamped on the target.
            Refused: the target rejects the content for good (admission, quota, invalid). Forbidden. Unreachable: no
            answer; whether it was accepted is unknown until the next observation.
        """

    async def room(self, wanted: Template, replicas: int) -> Room:
        """Whether quota and nodes have room for `replicas` more pods of this template, beside those that run."""

    async def routing(self) -> Routing:
        """Where to probe, and who stands behind the Service. Raises as `observe`."""

    async def usage(self) -> tuple[Usage, ...] | None:
        """Resource use of the live pods, or None where the platform has no metrics. Raises as `observe`."""

    async def facts(self) -> tuple[PodFacts, ...]:
        """What is known of the live pods of the workload, each with what can be known. Raises as `observe`.

        Metrics that the platform does not have, or that do not answer, leave their values None: the rest is told.
        """

    async def close(self) -> None:
        """Release connections. May be called twice."""
