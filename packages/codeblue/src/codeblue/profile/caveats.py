"""What a profile says and this version does not do. It is said aloud, so that nobody relies on it (R2, R3, R10)."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from codeblue.profile.model import Profile
from codeblue.profile.people import configured
from codeblue.profile.platform import Kubernetes

#: Keys that are part of the format and that nothing reads yet; a test finds one that is read, and one that is missing.
UNREAD: Final[tuple[str, ...]] = ()

#: What is asked through the Service, and so of nobody where the profile names none (tier 0, R1c).
_THROUGH_THE_SERVICE: Final = (
    ("platform", ("port",)),
    ("health", ("path", "timeout", "via", "url", "version_field")),
    ("contract", ("health_database", "health_redis", "health_ai_services")),
    ("verify", ("latency_samples", "latency_p95")),
)


@dataclass(frozen=True, slots=True)
class Caveat:
    """Something that a reader of the profile could count on, and must not.

    Attributes:
        keys: the profile's own keys that have no effect; none where the profile does not have to say anything.
        message: what does not happen, and what that means.
        remedy: what to do about it.
    """

    keys: tuple[str, ...]
    message: str
    remedy: str

    @property
    def text(self) -> str:
        """Both in one line."""
        return f"{self.message} Next: {self.remedy}"


def caveats(profile: Profile) -> tuple[Caveat, ...]:
    """Everything that this profile must not be relied on for."""
    return (*_paging(profile), *_tier_0(profile))


def _paging(profile: Profile) -> Iterator[Caveat]:
    """Without a channel that wakes somebody nobody is paged (R2, R3)."""
    channels = configured(profile.pages)
    if channels and channels != ("inbox",):
        return
    keys = ("contacts",) if profile.contacts is not None and not channels else ()
    if channels:
        parts = ["Nobody is woken: the only channel is pages.inbox, a directory of this machine."]
    else:
        parts = ["Nobody is paged: the profile has no channel (pages)."]
    if keys:
        parts.append("contacts in the profile: checked for their form, and not used.")
    if profile.triggers.health.mode == "ask":
        parts.append("A rollback that waits for an approval (triggers.health.mode: ask) waits unannounced.")
    yield Caveat(
        keys,
        " ".join(parts),
        "Add a channel to pages and try it with `codeblue page test`; until then keep the paging that you have: "
        "incidents stand in `codeblue status` and in the output of `codeblue serve`.",
    )


def _tier_0(profile: Profile) -> Iterator[Caveat]:
    """Keys that the file states, and that need a Service to be of use."""
    if not isinstance(profile.platform, Kubernetes) or profile.platform.service is not None:
        return
    stated = [
        f"{section}.{key}"
        for section, keys in _THROUGH_THE_SERVICE
        for key in keys
        if key in getattr(profile, section).model_fields_set
    ]
    if stated:
        yield Caveat(
            tuple(stated),
            f"Not used, because the profile names no Service: {', '.join(stated)}. The readiness of the pods counts.",
            "Add platform.service, or delete these keys.",
        )
