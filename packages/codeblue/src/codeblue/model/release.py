"""What runs, what ran before, and what we think of it: templates, revisions, pods and the workload that has them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Template:
    """A release as the platform can start it.

    Attributes:
        body: the platform's own text of it, canonical JSON (RFC 8785); opaque to everybody but its adapter.
        release: SHA-256 over what makes the release: everything except secret references and marks that a mere
            restart leaves. A rotated secret keeps the release (D15), another image or setting changes it (B2).
        exact: SHA-256 over the whole body.
        version: the name people use for it, from the profile's version source, or "" where there is none.
        images: the container images, or the program of a local service, in order.
    """

    body: str = field(repr=False)
    release: str
    exact: str
    version: str
    images: tuple[str, ...]

    @property
    def label(self) -> str:
        """How the template is called in messages: version and a short digest."""
        return f"{self.version or ', '.join(self.images) or 'template'} ({self.release[:10]})"


class Standing(StrEnum):
    """What we think of a release (B2). Absence of a mark is `UNPROVEN`, never good."""

    KNOWN_GOOD = "known-good"
    BAD = "bad"
    UNPROVEN = "unproven"


@dataclass(frozen=True, slots=True)
class Mark:
    """A release's standing as it is kept in the platform, where another machine finds it.

    Attributes:
        standing: known-good or bad.
        at: when it was judged.
        by: the run or the watch that judged it.
        why: the arithmetic in one line, for example "healthy for 312 s of 300 s". Never free text of a person.
    """

    standing: Standing
    at: datetime
    by: str
    why: str


@dataclass(frozen=True, slots=True)
class Revision:
    """One entry of the platform's history.

    Attributes:
        number: the platform's own number; a Deployment renumbers a revision that comes back.
        template: what it starts.
        current: whether it is the template in force.
        created: when the platform first saw it, if it says so.
        runnable: False with `why_not` where the platform already knows that it cannot start (its image is gone).
    """

    number: int
    template: Template
    current: bool
    created: datetime | None = None
    runnable: bool | None = None
    why_not: str = ""


@dataclass(frozen=True, slots=True)
class Pod:
    """One running copy (a Kubernetes pod, a local process).

    Attributes:
        template: `Template.exact` of what it was started from, or "" where that cannot be told.
        release: `Template.release` likewise.
        terminating: it is on its way out and gets no new traffic.
        trouble: the platform's reason why it is not ready ("CrashLoopBackOff"), or "".
        running_since: start of the current process.
    """

    name: str
    uid: str
    template: str
    release: str
    images: tuple[str, ...]
    ready: bool
    terminating: bool
    restarts: int
    trouble: str = ""
    running_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Owner:
    """Somebody other than us who writes to the workload and could undo what we do (semantics: GitOps, HPA).

    Attributes:
        kind: "argocd", "flux", "helm", "hpa".
        name: the owning object.
        reverts: True where it puts a manual change of the template back by itself.
        remedy: what to do about it, in one sentence.
    """

    kind: str
    name: str
    reverts: bool
    remedy: str


@dataclass(frozen=True, slots=True)
class Workload:
    """One fresh observation of the protected workload, all of it from the same read where the platform can.

    Attributes:
        version: the token of this observation for preconditions (resourceVersion); equality only.
        generation, observed_generation: counts of specification changes, asked and seen by the controller.
        desired, total, updated, available: replica counts as the controller reports them.
        epoch: the lease epoch that is stamped on the workload (0: never claimed).
        marks: standings by `Template.release`.
        run: the run of ours that last changed the template, as noted at the target, or "".
        template_manager: who last wrote the template, by field manager, or "".
        surged: the strategy that has to be put back after an all-at-once replacement, as the platform's text.
        strategy: how the platform replaces pods, as its own text; opaque to everybody but its adapter.
        stalled: the controller gave up on the rollout (ProgressDeadlineExceeded), with its message; else "".
        failure: the controller cannot create or delete pods (ReplicaFailure: a quota, a policy), with its message;
            else "".
    """

    name: str
    uid: str
    version: str
    generation: int
    observed_generation: int
    paused: bool
    desired: int
    total: int
    updated: int
    available: int
    template: Template
    epoch: int = 0
    marks: Mapping[str, Mark] = field(default_factory=dict)
    owners: tuple[Owner, ...] = ()
    run: str = ""
    template_manager: str = ""
    surged: str = ""
    strategy: str = ""
    stalled: str = ""
    failure: str = ""
    pods: tuple[Pod, ...] = ()

    def standing(self, template: Template) -> Standing:
        """The standing of a template by its release digest; unmarked is unproven."""
        mark = self.marks.get(template.release)
        return mark.standing if mark else Standing.UNPROVEN

    @property
    def live_pods(self) -> tuple[Pod, ...]:
        """The pods that are meant to stay: not terminating."""
        return tuple(p for p in self.pods if not p.terminating)
