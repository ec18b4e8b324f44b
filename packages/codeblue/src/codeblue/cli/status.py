"""`codeblue status`: what is going on, from the record alone. Starts in the time of a few interpreters."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from codeblue.cli.frame import Common, show, untouched
from codeblue.model.target import Target
from codeblue.profile.pointer import Pointer, read_pointer

if TYPE_CHECKING:
    from codeblue.cli.looking import Sight
    from codeblue.engine.state import Owner
    from codeblue.model.inhibition import Inhibition
    from codeblue.record.incidents import IncidentView

#: So many incidents that nobody closed are told, the newest.
UNCLOSED = 3

_DEFAULT = Common()


@untouched()
def status(*, common: Common = _DEFAULT) -> int:
    """What is going on: what inhibits the triggers, open incidents and those that nobody closed, what the public does
    not read yet, the run under way, the last runs, and whether a daemon is at work.

    It tells what the record of this state knows; `codeblue check --live` asks the platform itself.
    """
    from codeblue.cli.standing import incident_lines, intent, next_for_run, state_in_words
    from codeblue.engine.overview import overview

    pointer, sight = _open(common)
    record = sight.record
    directory = Path(pointer.record).parent if pointer.record else None
    seen = overview(record, directory)
    owner, runs, still = seen.owner, list(seen.runs), seen.still
    daemon = owner is not None and owner.kind != "command" if directory else None
    target = _target(pointer)
    document = seen.document(
        service=pointer.service,
        target=target.text,
        place=sight.place,
        present=record is not None,
        others=sight.others,
    )
    lines = [f"{pointer.service}: {target.text}"]
    lines.append(f"daemon: {_daemon(owner)}")
    lines += [_inhibited(i, datetime.now(UTC)) for i in seen.inhibitions]
    for i in seen.incidents:
        if i.state == "open":
            lines.append(f"OPEN INCIDENT {i.id} ({i.severity}): {i.trigger}: {i.why}")
            lines.append(f"  {_acknowledged(i)}")
            lines += incident_lines(i, runs, still, daemon=daemon)
    lines += [f"STATUS PAGE {why} ({incident})" for incident, why in seen.behind.items()]
    unclosed = seen.unclosed[::-1]
    lines += [
        f"NOT CLOSED {i.id} ({i.severity}), mitigated {_moment(i.mitigated)}: {i.trigger}: {i.why}; "
        f"`codeblue incident resolve {i.id} --reason …` closes it"
        for i in unclosed[:UNCLOSED]
    ]
    if len(unclosed) > UNCLOSED:
        lines.append(f"NOT CLOSED are {len(unclosed) - UNCLOSED} older ones: `codeblue incident list`")
    if seen.known is not None:
        known = seen.known
        lines.append(
            f"release in force, as far as the record knows: {known.said} ({known.at:%Y-%m-%d %H:%M} UTC, {known.how})"
        )
    for r in seen.unfinished:
        lines.append(
            f"UNFINISHED {r.runbook} {r.id}: {state_in_words(r, still=r.id in still)}; `codeblue run show {r.id}`"
        )
        lines += [f"  {line}" for line in intent(r)[:1]]
        lines += [f"  next: {line}" for line in (next_for_run(r, still=r.id in still),) if line]
    by_id = {r.id: r for r in runs}
    lines += [
        f"  {_moment(r.requested)}, ended {_moment(r.ended)}: {r.runbook} {r.state}: {r.why}"
        for r in map(by_id.__getitem__, seen.recent[::-1])
        if r.state.ended
    ]
    if seen.last is not None:
        lines.append(f"last event {_ago(seen.last.at)} ago, in the record {sight.place}")
    else:
        lines.append(sight.missing if record is None else f"the record {sight.place} holds no event yet")
    show(common, document, "\n".join(lines))
    return 0


def _inhibited(inhibition: "Inhibition", now: datetime) -> str:
    until, by = _moment(inhibition.expires), f"{inhibition.kind} by {inhibition.by}: {inhibition.why}"
    end = "; `codeblue inhibit end` ends it" if inhibition.kind == "declared" else ""
    if now < inhibition.expires:
        return f"INHIBITED until {until}: no trigger counts: {by}{end}"
    return f"INHIBITION NOT ENDED, it expired {until}: {by}{end}"


def _acknowledged(incident: "IncidentView") -> str:
    if incident.acknowledged is None:
        return f"NOT ACKNOWLEDGED: `codeblue incident ack {incident.id}` says that somebody works on it"
    return f"acknowledged by {incident.acknowledged_by} at {_moment(incident.acknowledged)}"


def _moment(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC" if at is not None else "at an unknown time"


def _daemon(owner: "Owner | None") -> str:
    if owner is None or owner.kind == "command":
        return "none with this state"
    return f"{owner.holder}, standing by" if owner.kind == "standby" else owner.holder


def _open(common: Common) -> "tuple[Pointer, Sight]":
    from codeblue.cli.looking import Sight, is_there, look, others

    pointer = read_pointer(common.path)
    if pointer is None or not pointer.record:
        profile = common.load()
        return common.pointer(profile), look(profile)
    file = Path(pointer.record)
    if not is_there(file):
        return pointer, Sight(None, str(file), others(pointer.service, file))
    from codeblue.wiring import open_record_file

    return pointer, Sight(open_record_file(file, pointer.service, _target(pointer)), str(file))


def _target(pointer: Pointer) -> Target:
    return Target(pointer.kind, pointer.where, pointer.name)


def _ago(at: datetime) -> str:
    seconds = (datetime.now(UTC) - at).total_seconds()
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
