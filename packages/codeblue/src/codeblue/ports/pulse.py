"""What others in this process may know of the loop."""

from typing import Protocol

from codeblue.model.pulse import Pulse


class LoopPulse(Protocol):
    """Read only; any thread may ask, at any time, and is answered at once."""

    def pulse(self) -> Pulse:
        """What the loop last said, as of now."""
