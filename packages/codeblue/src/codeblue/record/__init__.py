"""The record: an append-only, hash-chained list of events, and the folds over it.

It is the one truth about what happened: timeline, status and report are computed from it, and no second table says the
same thing in other words. Pure functions here; where the events are kept is the business of `ports.record`.
"""
