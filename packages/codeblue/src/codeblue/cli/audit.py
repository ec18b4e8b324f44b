"""`codeblue audit verify`: is the record whole?"""

from cyclopts import App

from codeblue.cli.frame import Common, show, untouched

_DEFAULT = Common()

app = App(name="audit", help="Verify the chain of the record.")


@app.command
@untouched()
def verify(*, common: Common = _DEFAULT) -> int:
    """Compute the hash of every event anew and follow the chain (B8). Exit 1 where it is broken."""
    from codeblue.record.chain import GENESIS, broken_at
    from codeblue.wiring import open_record

    events = open_record(common.load()).read()
    broken = broken_at(events)
    head = events[-1].hash if events else GENESIS
    document = {"schema": "codeblue/audit/1", "events": len(events), "head": head, "broken": broken}
    if broken:
        show(common, document, f"BROKEN: {broken}. Keep the file as it is, it is evidence.")
        return 1
    show(common, document, f"Whole: {len(events)} events, head {head}")
    return 0
