"""For programs under libfaketime 0.9.10, which answers EINVAL to the absolute sleep of Python's `time.sleep`."""

import select
import time


def _sleep(seconds: float) -> None:
    select.select((), (), (), seconds)


time.sleep = _sleep
