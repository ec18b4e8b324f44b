"""Whose words these are: signatures of Slack's buttons and PagerDuty's webhooks. No I/O, no clock of its own.

A request that nobody signed is nobody's click. Both verify the *raw* body: decode it afterwards, never before.

Sources: Slack, "Verifying requests from Slack" (v0); PagerDuty, "Verifying signatures" of v3 webhooks.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from codeblue.model.secret import Secret

#: How old, or how far ahead, a signed request may be (docs/semantics.md, Slack).
WINDOW_S: Final = 300
#: How long a webhook of PagerDuty is remembered: it carries no time in its signature, and is repeated for a day.
REMEMBERED_S: Final = 2 * 86_400
#: Signatures in one header: while a secret is rotated there are two.
MAX_SIGNATURES: Final = 8

_TIME: Final = re.compile(r"[0-9]{1,12}", re.ASCII)
_SLACK: Final = re.compile(r"v0=([0-9a-f]{64})", re.ASCII)
_PAGERDUTY: Final = re.compile(r"v1=([0-9a-f]{64})", re.ASCII)


class Signed(StrEnum):
    """The verdict. Only VALID may have any effect; the text is fit for a log, and holds nothing of the request."""

    VALID = "valid"
    MISSING = "the request is not signed"
    STALE = "the request is too old or from the future"
    FORGED = "the signature is not ours"
    REPLAYED = "the request was seen before"


@dataclass
class Seen:
    """Signatures that were accepted, so that the same request has no second effect. Bounded: the oldest go first.

    Where it is full of requests that are still within their time, nothing more is accepted: to forget one would let it
    be replayed.
    """

    limit: int = 10_000
    _until: dict[str, float] = field(default_factory=dict)

    def first(self, signature: str, now_s: float, *, keep_s: float) -> bool:
        """Whether this is the first time; it is remembered then."""
        if len(self._until) >= self.limit:
            self._until = {known: until for known, until in self._until.items() if until >= now_s}
        known = self._until.get(signature)
        if (known is not None and known >= now_s) or len(self._until) >= self.limit:
            return False
        self._until[signature] = now_s + keep_s
        return True


def slack(headers: Mapping[str, str], body: bytes, secret: Secret, now_s: float, seen: Seen | None = None) -> Signed:
    """A request of Slack: `X-Slack-Signature` = v0=HMAC-SHA256(signing secret, "v0:{timestamp}:{raw body}").

    Args:
        headers: of the request; names in any case.
        body: as it came over the wire.
        now_s: seconds since the epoch.
        seen: what was accepted before; None where the caller does not care about replays.
    """
    given = _header(headers, "x-slack-signature")
    sent_at = _header(headers, "x-slack-request-timestamp")
    if given is None or sent_at is None:
        return Signed.MISSING
    signature = _SLACK.fullmatch(given)
    if signature is None or not _TIME.fullmatch(sent_at):
        return Signed.FORGED
    if abs(now_s - int(sent_at)) > WINDOW_S:
        return Signed.STALE
    wanted = _hmac(secret, b"v0:" + sent_at.encode("ascii") + b":" + body)
    if not hmac.compare_digest(wanted, signature[1]):
        return Signed.FORGED
    # one that is ahead by the whole window stays good for twice the window
    if seen is not None and not seen.first(f"slack:{wanted}", now_s, keep_s=2 * WINDOW_S + 1):
        return Signed.REPLAYED
    return Signed.VALID


def pagerduty(
    headers: Mapping[str, str], body: bytes, secret: Secret, now_s: float, seen: Seen | None = None
) -> Signed:
    """A v3 webhook of PagerDuty: `X-PagerDuty-Signature` = "v1=HMAC-SHA256(secret, raw body)[,v1=…]".

    PagerDuty repeats a webhook that got no 2xx, with the same body: answer REPLAYED with 200 and no effect. Arguments
    as for `slack`.
    """
    given = _header(headers, "x-pagerduty-signature")
    if given is None:
        return Signed.MISSING
    wanted = _hmac(secret, body)
    parts = given.split(",", MAX_SIGNATURES)[:MAX_SIGNATURES]
    found = [s[1] for part in parts if (s := _PAGERDUTY.fullmatch(part.strip()))]
    # all are compared: how long it takes says nothing about which one was near
    if not any([hmac.compare_digest(wanted, signature) for signature in found]):
        return Signed.FORGED
    if seen is not None and not seen.first(f"pagerduty:{wanted}", now_s, keep_s=REMEMBERED_S):
        return Signed.REPLAYED
    return Signed.VALID


def _hmac(secret: Secret, text: bytes) -> str:
    return hmac.new(secret.reveal().encode(), text, hashlib.sha256).hexdigest()


def _header(headers: Mapping[str, str], name: str) -> str | None:
    """The one header of this name; one that comes twice with different values is none."""
    found = {value.strip() for key, value in headers.items() if key.lower() == name}
    return found.pop() if len(found) == 1 else None
