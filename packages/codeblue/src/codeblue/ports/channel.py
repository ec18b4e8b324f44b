"""A way to reach a person."""

from typing import Protocol

from codeblue.model.incident import Level
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

    async def settle(self, incident: str, *, acknowledged: Level | None) -> None:
        """Tell the provider what became of the incident. Nothing where it has no such thing.

        Args:
            acknowledged: up to this level somebody works on it: pages of higher levels, and notices, stay as they are.
                None: it is over, and so is every page of it.

        Raises:
            Temporary: try again. Refused: it never will.
        """

    async def close(self) -> None:
        """Release connections. May be called twice."""
