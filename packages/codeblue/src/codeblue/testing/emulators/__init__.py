"""Providers on this machine that refuse what the real ones refuse, with a log of requests and a switch for faults.

For tests and the demo. What they refuse is written beside it with its source; tests drive each by a third-party client
of that provider too, so that they are not only our own opinion.
"""
