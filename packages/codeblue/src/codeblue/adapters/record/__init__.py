"""Stores of the record: SQLite for one machine, PostgreSQL for several processes. Both keep `ports.record`.

They use the drivers directly: four statements need no query builder, and `codeblue status` has to start in the time of
a few interpreters (docs/decisions/0002-record-store.md).
"""
