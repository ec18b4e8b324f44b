"""No process of these tests dies by a signal."""

from tests.unit.watch.ward import _no_crash

__all__ = ["_no_crash"]
