"""What the endpoints share: the record, the profile, the clocks, the loop's pulse, and the secrets of those who ask."""

import asyncio
import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from fastapi import Request

from codeblue.model.errors import CodeBlueError
from codeblue.model.secret import Secret
from codeblue.ports.clock import Clock
from codeblue.ports.pulse import LoopPulse
from codeblue.ports.record import RecordStore
from codeblue.profile.api import Api
from codeblue.profile.model import Profile
from codeblue.profile.secretref import SecretRef
from codeblue.web.answers import Problem, not_stored

T = TypeVar("T")

#: Limit of one look at the record or one batch of events; PostgreSQL itself gives up after 12 s (one statement).
STORE_S = 25.0
#: What Slack waits is 3 s.
CLICK_S = 2.5


@dataclass(frozen=True, slots=True)
class Desk:
    """Where what comes in is taken. It reads and appends to the record, and touches nothing else.

    Attributes:
        place: where the record is, for people.
        alerts_token …: None where the profile names none; what needs it does not exist then.
    """

    record: RecordStore
    profile: Profile
    clock: Clock
    loop: LoopPulse
    place: str
    alerts_token: Secret | None = None
    status_token: Secret | None = None
    slack_secret: Secret | None = None
    pagerduty_secret: Secret | None = None

    @property
    def api(self) -> Api:
        """The section of the profile, or its defaults."""
        return self.profile.api or Api()

    def stores(self) -> bool:
        """Whether what is appended here reaches the one who acts: a standby beside a file of its own has no way to."""
        return self.profile.state.database is not None or self.loop.pulse().acting

    async def with_record(self, work: Callable[[], T], *, limit_s: float = STORE_S) -> T:
        """Run a function that reads or appends to the record, in a thread of its own.

        Raises:
            Problem: 503 where it could not, or not in time. What was under way may still be stored: everything that
                is appended here may be sent again.
        """
        try:
            async with asyncio.timeout(limit_s):
                return await asyncio.to_thread(work)
        except TimeoutError:
            raise Problem(
                503,
                f"The record did not answer within {limit_s:g} s.",
                "Send it again; nothing is recorded twice.",
                headers={"Retry-After": "5"},
            ) from None
        except CodeBlueError as error:
            raise not_stored(error) from error

    def must_store(self) -> None:
        """Raises Problem: 503, this process stands by and its record is not that of the one who acts."""
        if not self.stores():
            raise Problem(
                503,
                "This process stands by, and nobody would read what it records. Nothing was recorded.",
                "Send it to the process that acts (`codeblue status` names it), or let all of them share a PostgreSQL "
                "(state.database).",
                headers={"Retry-After": "5"},
                close=True,
            )


def open_desk(record: RecordStore, profile: Profile, clock: Clock, loop: LoopPulse, place: str) -> Desk:
    """The desk of a profile, its secrets read now.

    Raises:
        UsageError: one of the secrets that `api` refers to cannot be read.
    """
    api = profile.api or Api()

    def secret(name: str, reference: SecretRef | None) -> Secret | None:
        return None if reference is None else reference.resolve(f"api.{name}")

    return Desk(
        record,
        profile,
        clock,
        loop,
        place,
        alerts_token=secret("alerts_token", api.alerts_token),
        status_token=secret("status_token", api.status_token),
        slack_secret=secret("slack_signing_secret", api.slack_signing_secret),
        pagerduty_secret=secret("pagerduty_secret", api.pagerduty_secret),
    )


def require_token(request: Request, token: Secret) -> None:
    """Raises Problem: 401, before anything of the body is read. A wrong token takes as long as the right one."""
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    same = hmac.compare_digest(_digest(given.strip()), _digest(token.reveal()))
    if scheme.lower() != "bearer" or not same:
        raise Problem(
            401,
            "The bearer token is missing or wrong. Nothing was read.",
            "Send the header `Authorization: Bearer …` with the token that the profile refers to.",
            headers={"WWW-Authenticate": 'Bearer realm="codeblue"'},
            close=True,
        )


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "replace")).digest()
