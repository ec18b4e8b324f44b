"""What every adapter of a port must keep, as classes of tests: subclass one, give it its fixtures, and run pytest.

The suites look at an adapter only through its port, so that they say the same of every one of them.
"""
