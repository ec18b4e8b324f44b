"""A record that belongs to one target: staging never reads production's runs as its own, nor resumes one of them."""

import threading
from collections.abc import Collection, Sequence

from codeblue.model.errors import Refused
from codeblue.model.event import Draft, Event
from codeblue.model.target import Target
from codeblue.ports.record import RecordStore
from codeblue.record.claims import CLAIM_KINDS, CLAIMED, targets_of


class OwnedRecord:
    """Keeps `ports.record.RecordStore` over another store, and refuses to be the record of a second target.

    A record that nobody claimed yet (an empty one, or one from before claims were made) is claimed with the first event
    of whoever acts; only looking claims nothing.

    Args:
        target: whose record it must be; with its fingerprints where `acts`.
        place: where the record is, for messages.
        acts: the first event is preceded by the claim.

    Raises:
        Refused: it belongs to another target. Damaged: it does not say to which. Errors as `RecordStore.read`.
    """

    def __init__(self, inner: RecordStore, target: Target, *, place: str, acts: bool) -> None:
        self._inner, self._target, self._place, self._acts = inner, target, place, acts
        self._lock = threading.Lock()
        self._claimed = self._is_ours()

    def append(self, draft: Draft) -> Event:
        """See `RecordStore.append`. Raises Refused where another target claimed it since it was opened."""
        if not self._claimed:
            with self._lock:
                self._claim(draft.actor)
        return self._inner.append(draft)

    def probe(self) -> None:
        """See `RecordStore.probe`."""
        self._inner.probe()

    def read(
        self, *, after: int = 0, run: str = "", incident: str = "", kinds: Collection[str] = (), limit: int = 0
    ) -> Sequence[Event]:
        """See `RecordStore.read`."""
        return self._inner.read(after=after, run=run, incident=incident, kinds=kinds, limit=limit)

    def last(self) -> Event | None:
        """See `RecordStore.last`."""
        return self._inner.last()

    def close(self) -> None:
        """See `RecordStore.close`."""
        self._inner.close()

    def _claim(self, actor: str) -> None:
        if self._claimed or self._is_ours():
            self._claimed = True
        elif self._acts:
            self._inner.append(Draft(CLAIMED, actor, self._target.plain()))
            self._claimed = self._is_ours()  # another one may have been quicker: of two claims the first counts

    def _is_ours(self) -> bool:
        """Whether it is claimed for our target; False while it is nobody's. Raises Refused, Damaged."""
        owners = targets_of(self._inner.read(kinds=CLAIM_KINDS))
        if owners and not any(owner.same_as(self._target) for owner in owners):
            raise _foreign(self._place, owners[0], self._target)
        return bool(owners)


def _foreign(place: str, owner: Target, ours: Target) -> Refused:
    apart = ""
    if owner.text == ours.text:
        kubernetes = "in another cluster (its certificate authority is another one)"
        apart = f", but {kubernetes if owner.kind == 'kubernetes' else 'on another machine'}"
    return Refused(
        f"The record in {place} belongs to another target: {owner.text}{apart}. The profile is about {ours.text}. "
        "Nothing was changed.",
        remedy="Use that target's own profile, or give this one a state.directory (or state.database) of its own. If "
        "both are one target under two names, say so in the record: `codeblue audit adopt --reason …`.",
    )
