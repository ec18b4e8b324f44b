"""What the controller reports: the replicas as they are, and when it last looked."""

import time
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from codeblue.adapters.local.files import Layout, read_json, write_json
from codeblue.model.errors import Unreachable

#: A report older than this is no observation any more. The controller reports at least twice a second.
FRESH_S = 2.0


@dataclass(frozen=True, slots=True)
class PodStatus:
    """One replica as the controller sees it; `model.release.Pod` documents the fields that it shares.

    Attributes:
        exact, release: digests of the template that it was started from.
        port: on 127.0.0.1.
        pid: of its process, 0 when there is none at the moment.
    """

    name: str
    uid: str
    exact: str
    release: str
    images: tuple[str, ...]
    port: int
    pid: int
    ready: bool
    terminating: bool
    restarts: int
    trouble: str
    since: str

    @property
    def running_since(self) -> datetime | None:
        """Start of the current process, aware UTC."""
        return datetime.fromisoformat(self.since) if self.since and self.pid else None


@dataclass(frozen=True, slots=True)
class Status:
    """One report.

    Attributes:
        beat: when it was written, on the machine's monotonic clock, which all its processes share.
        observed: the generation that it acts on.
        stalled: why the rollout is given up, or "".
    """

    beat: float
    observed: int
    stalled: str
    pods: tuple[PodStatus, ...]

    @property
    def fresh(self) -> bool:
        """Whether it is an observation of now."""
        return 0 <= time.monotonic() - self.beat <= FRESH_S


def write_status(layout: Layout, status: Status) -> None:
    """Replace the report. Raises Unreachable, Forbidden."""
    data: dict[str, Any] = asdict(status)
    write_json(layout.status, data, durable=False)


def read_status(layout: Layout) -> Status | None:
    """The last report, however old; None where there is none. Raises Unreachable, Forbidden."""
    data = read_json(layout.status)
    if data is None:
        return None
    try:
        pods = tuple(PodStatus(**{**pod, "images": tuple(pod["images"])}) for pod in data["pods"])
        return Status(data["beat"], data["observed"], data["stalled"], pods)
    except (KeyError, TypeError) as error:
        raise Unreachable(
            f"{layout.status} is damaged: {error}.", remedy="It is written anew within a second."
        ) from error
