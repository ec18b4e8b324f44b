"""Killed anywhere, it goes on and ends well, and the template changed once (B3).

Counted by the API server's audit log. Several Deployments are treated at the same time; each has a state of its own.
"""

import queue
import random
import signal
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
from testbed.cluster import wait_until
from tests.cluster.support import Case, Command, Ended

pytestmark = pytest.mark.cluster

AT_ONCE, REPLICAS = 3, 2
#: From the start of the process that resumes to its first step, less what it waited for a processor meanwhile: other
#: work on the machine is not ours to answer for.
FIRST_STEP_S = 3.0
MOMENTS = ("started", "intended", "applied", "recorded", "ended")
ENSURES, CHECKS = ("template", "strategy"), ("preflight", "rollout", "health", "stable")
POINTS = [
    "run.started",
    *(f"{step}.{moment}" for step in ENSURES for moment in MOMENTS),
    *(f"{step}.{moment}" for step in CHECKS for moment in ("started", "ended")),
    "run.ended",
]


@dataclass(frozen=True)
class Outcome:
    """One kill and what came of it; `problem` is empty when all is as it must be."""

    name: str
    problem: str
    first_step_s: float | None = None
    queued_s: float = 0.0


class Pool:
    """Deployments on their known-good release, one for each kill that is under way."""

    def __init__(self, cases: list[Case]) -> None:
        self._free: queue.SimpleQueue[Case] = queue.SimpleQueue()
        for case in cases:
            self._free.put(case)

    def each(self, names: list[str], attempt: Callable[[Case, str], Outcome]) -> list[Outcome]:
        def one(name: str) -> Outcome:
            case = self._free.get(timeout=600)
            try:
                return attempt(case, name)
            except Exception as error:  # noqa: BLE001  # all outcomes are reported together
                return Outcome(name, f"{type(error).__name__}: {error}")
            finally:
                self._free.put(case)

        with ThreadPoolExecutor(AT_ONCE) as threads:
            return list(threads.map(one, names))


@pytest.fixture(scope="module")
def pool(cluster, tmp_path_factory):
    with ExitStack() as stack:
        cases = []
        for number in range(AT_ONCE):
            namespace = stack.enter_context(cluster.namespace("crash"))
            case = Case(cluster, namespace, tmp_path_factory.mktemp(f"crash{number}"), defaults={"strategy": None})
            case.release("good", image="1", wait=False, replicas=REPLICAS)
            cases.append(case)
        for case in cases:
            cluster.rolled_out(case.namespace, case.name)
            case.mark_good()
        yield Pool(cases)


#: One process at a time begins to go on: what is timed is its start, not how it shares the processors with others.
STARTING = threading.Lock()


def killed_and_resumed(case: Case, name: str, start: Callable[[Case], Command], *, must_die: bool) -> Outcome:
    """A bad release, a rollback that is killed, and whatever it takes to end it: all of it judged from outside."""
    case.release(f"bad-{name.replace('.', '-')}", image="2", replicas=REPLICAS)
    mark = case.cluster.mark()
    command = start(case)
    ended = command.ended(120)
    if ended.code != -signal.SIGKILL and (must_die or ended.code != 0):
        return Outcome(name, f"was to be killed: {ended.said}")
    first_step_s, queued_s = None, 0.0
    new = [run for run in case.runs() if datetime.fromisoformat(run["requested"]) >= command.begun_at]
    if len(new) > 1:
        return Outcome(name, f"{len(new)} runs of one command")
    if not new:
        ended = case.rollback(timeout_s=120)
    elif new[0]["ended"] is None:
        with STARTING:
            resuming = case.start("run", "resume", new[0]["id"], "--json")
            wait_until("it to go on", lambda: resuming.process.poll() is not None or goes_on(case, resuming))
            queued_s = resuming.queued_s()
        ended = resuming.ended(120)
        first_step_s = first_step(resuming, ended)
    else:
        ended = case.run("run", "show", new[0]["id"], "--json")
    problem = "" if ended.code == 0 and ended.document["state"] == "done" else ended.said
    if not problem and (changes := case.changes(mark)) != 1:
        problem = f"{changes} changes of the template"
    if not problem:
        case.assert_runs("good", replicas=REPLICAS)
    return Outcome(name, problem, first_step_s, queued_s)


def goes_on(case: Case, command: Command) -> bool:
    """Whether a step began since the command did, by the record's file: asking Code Blue would load the machine."""
    return latest(case, "step.started", "run.ended") >= command.begun_at


def latest(case: Case, *kinds: str) -> datetime:
    """When the last event of these kinds was recorded; long ago if there is none."""
    never = datetime.fromtimestamp(0, UTC)
    if not (case.state / "record.db").exists():
        return never
    with closing(sqlite3.connect(f"file:{case.state / 'record.db'}?mode=ro", uri=True)) as db:
        places = ", ".join("?" for _ in kinds)
        found = db.execute(f"SELECT at FROM events WHERE kind IN ({places}) ORDER BY seq DESC LIMIT 1", kinds)  # noqa: S608
        return next((datetime.fromisoformat(at) for (at,) in found), never)


def first_step(command: Command, ended: Ended) -> float | None:
    """Seconds from the start of the process to its first step, by the record."""
    if ended.code != 0:
        return None
    starts = [datetime.fromisoformat(s["started"]) for s in ended.document["steps"] if s["started"]]
    own = [at for at in starts if at >= command.begun_at]
    return (min(own) - command.begun_at).total_seconds() if own else None


def judge(outcomes: list[Outcome]) -> float:
    """Every outcome is as it must be. Prints how soon the first steps began, and returns the worst."""
    resumed = [(o.first_step_s, o.queued_s) for o in outcomes if o.first_step_s is not None]
    seconds = sorted(wall - queued for wall, queued in resumed)
    print(f"{len(outcomes)} kills, {len(seconds)} resumed; first step after the restart: ", end="")
    print(f"worst {seconds[-1]:.2f} s, median {seconds[len(seconds) // 2]:.2f} s", end="")
    print(f" (with what it waited for a processor: worst {max(wall for wall, _ in resumed):.2f} s)")
    problems = [f"{o.name}: {o.problem}" for o in outcomes if o.problem]
    assert not problems, "\n".join(problems)
    return seconds[-1]


@pytest.mark.done(2)
@pytest.mark.req("B3", "R1")
def test_killed_at_every_named_point(pool):
    """All at once, so that the strategy has to be put back as well."""

    def attempt(case: Case, point: str) -> Outcome:
        def start(case: Case) -> Command:
            return case.start("rollback", "--reason", "a test", "--yes", "--json", "--surge", CODEBLUE_KILL_AT=point)

        return killed_and_resumed(case, point, start, must_die=True)

    judge(pool.each(POINTS, attempt))


@pytest.mark.done(2)
@pytest.mark.req("B3")
def test_the_first_step_after_a_crash_begins_soon(pool):
    """One after the other, with nothing of ours beside them."""
    outcomes = []
    for point in ("template.applied", "rollout.started"):

        def attempt(case: Case, name: str, point: str = point) -> Outcome:
            def start(case: Case) -> Command:
                return case.start("rollback", "--reason", "a test", "--yes", "--json", CODEBLUE_KILL_AT=point)

            return killed_and_resumed(case, name, start, must_die=True)

        outcomes += pool.each([f"alone-{point}"], attempt)
    assert judge(outcomes) < FIRST_STEP_S


@pytest.mark.done(2)
@pytest.mark.req("B3", "R1")
def test_killed_at_random_instants(pool, request):
    """Anywhere in a run, by the time that undisturbed ones took just before; each fifth anywhere from the start on."""
    seed = time.time_ns() % 2**32
    instants = request.config.getoption("--instants")
    numbers = random.Random(seed)  # noqa: S311
    shares = {f"i{n}": numbers.random() for n in range(instants)}
    usual_s = usual(pool)
    print(f"seed {seed}, an undisturbed run takes {usual_s:.1f} s")

    def attempt(case: Case, name: str) -> Outcome:
        def start(case: Case) -> Command:
            command = case.start("rollback", "--reason", "a test", "--yes", "--json")
            if int(name[1:]) % 5:
                wait_until(
                    "the run to be requested", lambda: command.process.poll() is not None or asked(case, command)
                )
            with suppress(subprocess.TimeoutExpired):
                command.process.wait(shares[name] * usual_s)
            command.kill()
            return command

        return killed_and_resumed(case, name, start, must_die=False)

    outcomes = pool.each(list(shares), attempt)
    judge(outcomes)
    resumed = sum(o.first_step_s is not None for o in outcomes)
    assert resumed * 2 >= instants, f"only {resumed} of {instants} instants left a run to go on with"


def usual(pool: Pool) -> float:
    """Seconds from request to end of runs that nobody disturbs, as many at once as there will be."""
    took: list[float] = []

    def attempt(case: Case, name: str) -> Outcome:
        case.release(f"bad-{name}", image="2", replicas=REPLICAS)
        run = case.rollback(timeout_s=120).document
        begun, ended = (datetime.fromisoformat(run[at]) for at in ("requested", "ended"))
        took.append((ended - begun).total_seconds())
        return Outcome(name, "" if run["state"] == "done" else run["why"])

    problems = [o.problem for o in pool.each([f"usual{n}" for n in range(AT_ONCE)], attempt) if o.problem]
    assert not problems, problems
    return sorted(took)[len(took) // 2]


def asked(case: Case, command: Command) -> bool:
    return latest(case, "run.requested") >= command.begun_at
