"""Killed anywhere, it goes on and ends well, and the template changed once (B3).

Counted by the API server's audit log. Several Deployments are treated at the same time; each has a state of its own.
"""

import queue
import random
import signal
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import datetime

import pytest
from tests.cluster.support import Case, Command, Ended

from codeblue.engine.crashpoint import MOMENTS

pytestmark = pytest.mark.cluster

AT_ONCE = 3
#: From the start of the process that resumes to its first step. A limit of ours, with room for busy machines.
FIRST_STEP_S = 3.0
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
            settings = {"verify": {"checks": 20, "every": "500ms", "stable_for": "1s"}}
            case = Case(cluster, namespace, tmp_path_factory.mktemp(f"crash{number}"), settings=settings)
            case.release("good", image="1", wait=False)
            cases.append(case)
        for case in cases:
            cluster.rolled_out(case.namespace, case.name)
            case.mark_good()
        yield Pool(cases)


def killed_and_resumed(case: Case, name: str, start: Callable[[Case], Command], *, must_die: bool) -> Outcome:
    """A bad release, a rollback that is killed, and whatever it takes to end it: all of it judged from outside."""
    case.release(f"bad-{name.replace('.', '-')}", image="2")
    mark = case.cluster.mark()
    before = {run["id"] for run in case.runs()}
    ended = start(case).ended(120)
    if ended.code != -signal.SIGKILL and (must_die or ended.code != 0):
        return Outcome(name, f"was to be killed: {ended.said}")
    first_step_s = None
    new = [run for run in case.runs() if run["id"] not in before]
    if len(new) > 1:
        return Outcome(name, f"{len(new)} runs of one command")
    if not new:
        ended = case.rollback(timeout_s=120)
    elif new[0]["ended"] is None:
        resuming = case.start("run", "resume", new[0]["id"], "--json")
        ended = resuming.ended(120)
        first_step_s = first_step(resuming, ended)
    problem = "" if ended.code in (0, -signal.SIGKILL) else ended.said
    if not problem and (changes := case.changes(mark)) != 1:
        problem = f"{changes} changes of the template"
    if not problem:
        case.assert_runs("good")
        assert case.runs()[0]["state"] == "done"
    return Outcome(name, problem, first_step_s)


def first_step(command: Command, ended: Ended) -> float | None:
    """Seconds from the start of the process to its first step, by the record."""
    if ended.code != 0:
        return None
    starts = [datetime.fromisoformat(s["started"]) for s in ended.document["steps"] if s["started"]]
    own = [at for at in starts if at >= command.begun_at]
    return (min(own) - command.begun_at).total_seconds() if own else None


def judge(outcomes: list[Outcome]) -> None:
    seconds = sorted(o.first_step_s for o in outcomes if o.first_step_s is not None)
    print(f"{len(outcomes)} kills, {len(seconds)} resumed; first step after the restart: ", end="")
    print(f"worst {seconds[-1]:.2f} s, median {seconds[len(seconds) // 2]:.2f} s")
    problems = [f"{o.name}: {o.problem}" for o in outcomes if o.problem]
    assert not problems, "\n".join(problems)
    assert seconds[-1] < FIRST_STEP_S


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
@pytest.mark.req("B3", "R1")
def test_killed_at_random_instants(pool, request):
    """Anywhere between the start of the process and the end that it would have had."""
    seed = time.time_ns() % 2**32
    instants = request.config.getoption("--instants")
    print(f"seed {seed}")
    numbers = random.Random(seed)  # noqa: S311
    shares = {f"i{n}": numbers.random() for n in range(instants)}
    usual_s = 8.0

    def attempt(case: Case, name: str) -> Outcome:
        def start(case: Case) -> Command:
            command = case.start("rollback", "--reason", "a test", "--yes", "--json")
            with suppress(subprocess.TimeoutExpired):
                command.process.wait(shares[name] * usual_s)
            command.kill()
            return command

        return killed_and_resumed(case, name, start, must_die=False)

    judge(pool.each(list(shares), attempt))
