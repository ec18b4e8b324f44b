"""Who may act on a service. The lease lives in the protected platform, where two machines exclude each other."""

from typing import Protocol

from codeblue.model.change import Fence, LeaseView


class Lease(Protocol):
    """One holder at a time, with an expiry and an epoch that grows with each holder.

    Duties: expiry is judged by watching the lease stay unchanged for its whole duration on *our* monotonic clock (two
    machines' clocks need not agree); taking it over adds one to the epoch; the new epoch is stamped on the workload
    before `acquire` returns, so that a late change of the former holder is refused by the target itself.
    """

    async def view(self) -> LeaseView | None:
        """Who holds it now; None when it is free or was released. Raises Unreachable, Forbidden."""

    async def acquire(self, holder: str, *, predecessor: str = "") -> Fence:
        """Become the holder.

        Args:
            holder: our name, unique to this process.
            predecessor: a holder that is known to be dead because we own the state that it owned (its lock was
                free); its lease is taken over without waiting for the expiry.

        Raises:
            LeaseHeld: somebody else renewed it, or gave it up, while we watched: what was decided before that was
                decided about another state. Says who, and what to do. Unreachable, Forbidden.
        """

    async def renew(self, fence: Fence) -> None:
        """Stay the holder for another duration.

        Raises:
            LeaseLost: another epoch began. Unreachable: not renewed; the old expiry still counts.
        """

    async def release(self, fence: Fence) -> None:
        """Give it up at once. Does nothing when it is no longer ours. May be called twice."""
