"""What people's commands have in common that reach people: declare, acknowledge, escalate, a test page."""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from codeblue.cli.actor import actor_name
from codeblue.cli.frame import Common, say, show
from codeblue.cli.words import sentence
from codeblue.model.errors import CodeBlueError, ExitCode, Refused
from codeblue.model.event import Draft
from codeblue.model.ids import new_id
from codeblue.model.incident import Level, Role
from codeblue.profile.people import configured
from codeblue.profile.units import show_duration
from codeblue.record.chain import plain
from codeblue.record.incidents import IncidentView
from codeblue.record.paged import call_in_words, document, paging_of
from codeblue.record.pages import ACKNOWLEDGED, ESCALATED, REQUESTED, TEST, CallView, PagingView, anchor_data
from codeblue.rules.decision import decide_declared
from codeblue.rules.escalation import due, ladder_of, people, reached_levels, situation_of
from codeblue.rules.severity import MANUAL, impact_of, severity_of

if TYPE_CHECKING:
    from codeblue.ports.record import RecordStore
    from codeblue.profile.model import Profile

#: How long a daemon may take to begin with a page, before this command does it itself.
DAEMON_S = 10.0
#: How long it is waited for the outcome.
OUTCOME_S = 60.0
_POLL_S = 0.1


def declare(common: Common, trigger: str, reason: str, impact: str, *, drill: bool, plan: bool) -> int:
    """Open an incident, have the people paged who are due, and say what became of it."""
    from codeblue.wiring import open_record, system_clock

    kept = sentence(reason, "--reason")
    profile = common.load()
    manual, how_bad = MANUAL[trigger], impact_of(trigger, impact)
    severity = severity_of(profile.severity, trigger, how_bad)
    freezes = manual.freeze and not drill  # an exercise must not disarm what protects the service
    freeze = "automatic changes wait for an approval while it is open" if freezes else "automatic changes go on"
    kind = f"{severity.text}, a DRILL" if drill else severity.text
    who = _would_page(profile, trigger, severity.text)
    if plan:
        lines = [f"{kind} ({trigger}, impact {how_bad.value}) would be opened; {freeze}. Nothing was changed."]
        plans = {"trigger": trigger, "severity": severity.text, "impact": how_bad.value, "freeze": freezes}
        plans["drill"] = drill
        _show_plan(common, profile, lines, who, plans)
        return 0
    record, clock = open_record(profile), system_clock()
    id_, now = new_id("inc", clock.now()), clock.now()
    opened: dict[str, Any] = {
        "severity": severity.text,
        "trigger": trigger,
        "why": kept,
        "began": now.isoformat(timespec="microseconds"),
        "impact": how_bad.value,
        "anchor": anchor_data(clock.anchor()),
        **({"drill": True} if drill else {}),
    }
    record.append(Draft("incident.opened", actor_name(), opened, incident=id_))
    if not drill:
        decision = decide_declared(trigger, now)
        decided = {**plain(decision), "sentence": decision.sentence}
        record.append(Draft("incident.decided", actor_name(), decided, incident=id_))
    step = "change nothing on the service" if drill else manual.next_step
    said = [f"Opened {id_}, {kind}: {manual.means}; {freeze}.", f"Next: {step}."]
    said.append(f"`codeblue incident ack {id_}` says that somebody works on it.")
    more = {"severity": severity.text, "trigger": trigger, "impact": how_bad.value, "freeze": freezes}
    more["drill"] = drill
    return _pages(common, profile, record, id_, who, ("codeblue/declared/1", more, said))


def acknowledge(common: Common, record: "RecordStore", incident: IncidentView, level: str) -> int:
    """Record it; the holder of the lease tells the channels."""
    from codeblue.wiring import system_clock

    refuse_over(incident)
    profile, clock = common.load(), system_clock()
    view = paging_of(record.read(incident=incident.id), incident.id)
    paged = [Level[c.level] for c in view.calls if c.level in Level.__members__] if view else []
    level = level or max(paged, default=Level.L1).name
    data = {"level": level, "anchor": anchor_data(clock.anchor())}
    record.append(Draft(ACKNOWLEDGED, actor_name(), data, incident=incident.id))
    escalation = profile.escalation
    goes_on = "the ladder stops" if escalation.until == "acknowledged" else "the ladder goes on until it is mitigated"
    text = (
        f"Acknowledged {incident.id} for {level} and below: {goes_on}. It counts for "
        f"{show_duration(escalation.ack_expires)} after the last thing that happens. "
        f"`codeblue incident mitigate {incident.id} --reason …` says that it is over."
    )
    found = {"incident": incident.id, "level": level, "expires_s": escalation.ack_expires}
    show(common, {"schema": "codeblue/acknowledged/1", **found}, text)
    return 0


def escalate(
    common: Common, record: "RecordStore", incident: IncidentView, level: str, reason: str, *, plan: bool
) -> int:
    """Call a level, have its people paged, and say what became of it."""
    from codeblue.wiring import system_clock

    kept = sentence(reason, "--reason")
    refuse_over(incident)
    profile, clock = common.load(), system_clock()
    ladder = ladder_of(profile.escalation)
    view = paging_of(record.read(incident=incident.id), incident.id)
    if view is None:
        raise RuntimeError("an opened incident has a paging")
    now = situation_of(incident, view, profile.severity, view.elapsed_s(clock.anchor(), clock.now()))
    there = reached_levels(ladder, now)
    called = {Level.L4} if level == "L4" else {each for each in Level if each <= Level[level] and each is not Level.L4}
    if called <= there and due(ladder, now).calls == ():
        raise Refused(
            f"{level} of {incident.id} was called already. Nothing was changed.",
            remedy=f"`codeblue incident show {incident.id}` says who was reached.",
        )
    who = [(each.name, role) for each in sorted(called - there) for role in people(ladder, each)]
    if plan:
        _show_plan(common, profile, [f"{level} of {incident.id} would be called. Nothing was changed."], who, {})
        return 0
    data = {"level": level, "why": kept, "anchor": anchor_data(clock.anchor())}
    record.append(Draft(ESCALATED, actor_name(), data, incident=incident.id))
    said = [f"Called {level} of {incident.id}."]
    return _pages(common, profile, record, incident.id, who, ("codeblue/escalated/1", {"level": level}, said))


def send_test(common: Common, roles: Sequence[Role], *, plan: bool) -> int:
    """Send a page that says that it is a test, and say what became of it."""
    from codeblue.wiring import open_record, system_clock

    profile = common.load()
    if not configured(profile.pages):
        raise Refused(
            "The profile has no channel (pages), so nobody can be paged. Nothing was sent.",
            remedy="Add a channel to pages, and the people to contacts; docs/escalation.md tells how.",
        )
    who = [(TEST, role) for role in roles]
    if plan:
        _show_plan(common, profile, ["A test page would be sent. Nothing was sent."], who, {})
        return 0
    record, clock = open_record(profile), system_clock()
    id_ = new_id("page", clock.now())
    for role in roles:
        data = {
            "level": TEST,
            "role": role.value,
            "summary": f"TEST of the paging for {profile.service}: nothing is wrong, nothing is to be done",
            "next_step": "tell whoever sent it that it arrived",
            "anchor": anchor_data(clock.anchor()),
        }
        record.append(Draft(REQUESTED, actor_name(), data, incident=id_))
    said = ["Ask them whether it arrived: a provider's yes is not a person's."]
    return _pages(common, profile, record, id_, who, ("codeblue/page-test/1", {}, said))


def refuse_over(incident: IncidentView) -> None:
    """Raises Refused for an incident that nobody has to do anything about any more."""
    if incident.over:
        raise Refused(
            f"{incident.id} is {incident.state} already. Nothing was changed.",
            remedy="`codeblue incident declare …` opens a new one.",
        )


def _would_page(profile: "Profile", trigger: str, severity: str) -> list[tuple[str, Role]]:
    """Who is due in the first moment of such an incident."""
    from datetime import UTC, datetime

    at = datetime.fromtimestamp(0, UTC)
    opened = IncidentView("", profile.service, severity, trigger, "", "person:", at, at)
    now = situation_of(opened, PagingView("", at, at), profile.severity, 0.0)
    return [(call.level, call.role) for call in due(ladder_of(profile.escalation), now).calls]


def _show_plan(
    common: Common, profile: "Profile", lines: list[str], who: list[tuple[str, Role]], more: dict[str, Any]
) -> None:
    channels = configured(profile.pages)
    over = f"over {', then '.join(channels)}" if channels else "but the profile has no channel: nobody would be"
    lines += [f"  would be paged, {over}: {_person(profile, role)} ({level})" for level, role in who]
    pages = [{"level": level, "role": role.value} for level, role in who]
    document_ = {"schema": "codeblue/plan-pages/1", **more, "pages": pages, "channels": list(channels)}
    show(common, document_, "\n".join(lines))


def _pages(
    common: Common,
    profile: "Profile",
    record: "RecordStore",
    id_: str,
    who: list[tuple[str, Role]],
    result: tuple[str, dict[str, Any], list[str]],
) -> int:
    """Have the people paged who are due, by the daemon or else here; show what became of it. Returns the exit code."""
    schema, more, said = result
    by, waited_s = "nobody", 0.0
    if configured(profile.pages):
        by, waited_s = _see_to_it(profile, record, id_, who)
    view = paging_of(record.read(incident=id_), id_)
    calls = [c for c in (view.calls if view else ()) if (c.level, c.role) in {(lv, r.value) for lv, r in who}]
    missed = [(lv, r) for lv, r in who if not any((c.level, c.role) == (lv, r.value) and c.delivered for c in calls)]
    lines = [*said, *(f"  {call_in_words(c)}" for c in calls)]
    for level, role in missed:
        lines.append(f"  NOT REACHED: call {_person(profile, role)} yourself ({level})")
    if by == "nobody":
        lines.append("The profile has no channel (pages): nobody is paged by Code Blue.")
    elif by == "here" and waited_s:
        lines.append(
            f"The daemon did not see to it within {waited_s:.0f} s, so this command did. Look at its output and at "
            "`codeblue status`: later levels are paged by the daemon alone."
        )
    elif by == "here":
        lines.append("No daemon acts on this record: start `codeblue serve`, or later levels are paged by nobody.")
    found = {"schema": schema, "incident": id_, **more, "paged_by": by, **document(view)}
    found["not_reached"] = [role.value for _, role in missed]
    show(common, found, "\n".join(lines))
    return int(ExitCode.FAILED if missed else ExitCode.DONE)


def _see_to_it(profile: "Profile", record: "RecordStore", id_: str, who: list[tuple[str, Role]]) -> tuple[str, float]:
    """Wait for the daemon to page; page here where none does, or where it hangs.

    Beside a daemon that lives after all nobody is paged twice: each page belongs to the process that meant it first.

    Returns:
        "daemon" or "here", and for how long a daemon was waited for in vain.
    """
    from codeblue.engine.state import StateDirectory

    owner = StateDirectory(profile.state.directory).owner()
    if profile.state.database is None and (owner is None or owner.kind == "command"):
        return asyncio.run(_here(profile, record, id_)), 0.0
    waited_s = _waits_in_vain(lambda: _calls(record, id_, who), len(who), profile)
    return ("daemon", 0.0) if waited_s is None else (asyncio.run(_here(profile, record, id_)), waited_s)


def _calls(record: "RecordStore", id_: str, who: list[tuple[str, Role]]) -> list[CallView]:
    view = paging_of(record.read(incident=id_), id_)
    wanted = {(level, role.value) for level, role in who}
    return [c for c in view.calls if (c.level, c.role) in wanted] if view else []


def _waits_in_vain(look: Callable[[], list[CallView]], people_: int, profile: "Profile") -> float | None:
    """Follow what the daemon does. Returns None once it is done or has tried for long enough; else how long it did
    nothing although it was its turn: a call was not begun, or a page was meant and nothing became of it."""
    from codeblue.watch.pager import LOST_S

    begun = changed = time.monotonic()
    patience_s = min(OUTCOME_S, profile.escalation.give_up * max(1, len(configured(profile.pages))) + DAEMON_S)
    seen: list[CallView] = []
    while True:
        calls, now = look(), time.monotonic()
        if not seen and calls:
            say("The daemon pages them.")
        if calls != seen:
            seen, changed = calls, now
        if len(calls) >= people_ and all(c.delivered for c in calls):
            return None
        open_ = any(a.state == "intended" for c in calls for a in c.attempts if c.delivered is None)
        if (len(calls) < people_ and now - changed > DAEMON_S) or (open_ and now - changed > LOST_S):
            return now - begun
        if now - begun > patience_s and not open_:
            return None
        time.sleep(_POLL_S)


async def _here(profile: "Profile", record: "RecordStore", id_: str) -> str:
    from codeblue.watch.pager import Pager, until_quiet
    from codeblue.wiring import open_channels, system_clock

    pager = Pager(record, open_channels(profile, record), profile, system_clock(), only=id_)
    try:
        await until_quiet(pager, limit_s=OUTCOME_S)
    except CodeBlueError as error:
        say(error.message)  # what was not reached is said below, with whom to call
    finally:
        await pager.close()
    return "here"


def _person(profile: "Profile", role: Role) -> str:
    """The role with the name and the number of whoever has it."""
    contact = getattr(profile.contacts, role.value, None) if profile.contacts else None
    if contact is None:
        return f"{role.value} (no contact in the profile)"
    return f"{role.value} ({contact.name}{f', {contact.phone}' if contact.phone else ''})"
