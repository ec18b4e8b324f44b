"""Decisions as pure functions: they get what was seen and return a verdict with its arithmetic. No I/O, no clock."""
