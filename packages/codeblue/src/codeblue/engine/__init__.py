"""Durable execution of runs on DBOS: the only package that imports it.

DBOS knows where a run is; what happened is in the record. Every effect is preconditioned at the target, because no
engine can promise exactly-once (docs/architecture.md, "Once").
"""
