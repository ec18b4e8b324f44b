"""The loops of the daemon: each looks at the world and the record, asks the rules, and sees to it that what
follows happens. Every cycle ends in one sentence. They know no adapter, only ports.
"""
