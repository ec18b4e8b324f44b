"""The nouns of an emergency, frozen; imports nothing of ours and does no I/O.

Times are aware UTC; durations carry their unit in the name (`_s` seconds, `_ms` milliseconds).
"""
