"""The procedures of the document, one file each, and the steps that they are made of.

A runbook only reads while it resolves its inputs, and its steps are made from those frozen inputs alone; no data flows
from step to step. No runbook knows an adapter or the engine.
"""
