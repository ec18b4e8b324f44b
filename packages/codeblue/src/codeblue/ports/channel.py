"""A way to reach a person."""

from typing import Protocol

from codeblue.model.page import Delivery, Page


class Channel(Protocol):
    """PagerDuty, Slack, e-mail, SMS, a directory on this machine …

    The contract suite is `codeblue.testing.contracts.channel`.
    """

    @property
    def name(self) -> str:
        """Its name in the profile, the record and messages ("pagerduty")."""

    @property
    def keyed(self) -> bool:
        """Whether the provider takes `Page.key`, so that a second attempt after a crash cannot page twice (B3)."""

    def reaches(self, page: Page) -> bool:
        """Whether this channel has an address for the page's role."""

    async def send(self, page: Page) -> Delivery:
        """Send it once. Bounded to 10 s.

        Returns:
            ACCEPTED only for the provider's own yes; REFUSED for an answer that no retry changes; UNKNOWN where it may
            have been accepted or not (no answer, cut off).

        Raises:
            Temporary: it was certainly not accepted and a retry after `delay_s` makes sense (429, 503, no connection).
        """

    async def settle(self, incident: str, *, acknowledged: bool) -> None:
        """Tell the provider that the incident was acknowledged, or (False) is over. Nothing where it has no such thing.

        Raises:
            Temporary: try again. Refused: it never will.
        """

    async def close(self) -> None:
        """Release connections. May be called twice."""
