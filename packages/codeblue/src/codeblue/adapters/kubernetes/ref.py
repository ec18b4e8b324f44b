"""Which Deployment, and how it is reached."""

from dataclasses import dataclass
from enum import StrEnum


class Via(StrEnum):
    """How probes travel: through the API server's proxy (works from anywhere), or straight (inside the cluster)."""

    APISERVER = "apiserver"
    DIRECT = "direct"


@dataclass(frozen=True, slots=True)
class DeploymentRef:
    """Which Deployment, and how it is reached and read.

    Attributes:
        service: the Service in front of it, or None (tier 0, R1c).
        port: the Service's port that is probed, by number or name; None means its only or first one.
        container, version_env: what names the version, see `read_template`.
    """

    namespace: str
    name: str
    service: str | None = None
    port: int | str | None = None
    container: str | None = None
    version_env: str | None = "RELEASE_VERSION"
