"""The controller of one local workload: `python -m codeblue.adapters.local.controller DIRECTORY`, run by supervisord.

It compares what is wanted (`state.json`) with what is there, takes the next moves and reports (`status.json`), as the
Deployment controller of Kubernetes does. It knows nothing of Code Blue's runs; whoever changes the state may die.
"""

import asyncio
import os
import sys
import time
from pathlib import Path

from codeblue.adapters.local.files import Layout, locked
from codeblue.adapters.local.health import Health
from codeblue.adapters.local.replicas import Replicas
from codeblue.adapters.local.rollout import Replica, next_moves
from codeblue.adapters.local.state import State
from codeblue.adapters.local.status import PodStatus, Status, write_status
from codeblue.adapters.local.store import load
from codeblue.adapters.local.supervisor import Supervisor
from codeblue.model.errors import CodeBlueError

#: Seconds between two looks while replicas are being replaced, and otherwise.
BUSY_S, IDLE_S = 0.1, 0.25

#: A rollout that makes no progress for so long is called stalled (the Deployment's default, progressDeadlineSeconds).
PROGRESS_DEADLINE_S = 600.0


class Controller:
    """One workload's control loop; `cycle` is all of it."""

    def __init__(self, layout: Layout, state: State) -> None:
        self._layout = layout
        self._supervisor = Supervisor(layout)
        self._replicas = Replicas(layout, self._supervisor, state.health_path)
        self._replicas.recover()
        self._progress, self._since = (0, 0, 0), time.monotonic()

    async def cycle(self) -> bool:
        """Look, move, report. Returns whether something is still under way."""
        state = load(self._layout)
        programs = await asyncio.to_thread(self._supervisor.programs)
        await asyncio.to_thread(self._replicas.refresh, programs)
        pods = [self._replicas.status(r, programs.get(r.name)) for r in self._replicas.all]
        under_way = await self._move(state, pods)
        pods = [self._replicas.status(r, programs.get(r.name)) for r in self._replicas.all]
        complete = self._complete(state, pods)
        stalled = "" if complete else self._stalled(state, pods)
        write_status(self._layout, Status(time.monotonic(), state.generation, stalled, tuple(pods)))
        return under_way or not complete

    async def _move(self, state: State, pods: list[PodStatus]) -> bool:
        live = [p for p in pods if not p.terminating]
        replicas = [Replica(p.name, _wanted(p, state), p.ready) for p in live]
        moves = next_moves(state.desired, state.surge, replicas)
        for running in self._replicas.all:
            if running.name in moves.stop:
                print(f"stopping {running.name}", flush=True)
                self._replicas.retire(running)
        for _ in range(moves.start):
            port = self._replicas.free_port()
            running = self._replicas.create(state, Health(port, state.health_path), port)
            print(f"starting {running.name} of {running.template.label} on port {port}", flush=True)
            await asyncio.to_thread(self._replicas.start, running)
        return not moves.none

    def _complete(self, state: State, pods: list[PodStatus]) -> bool:
        good = [p.ready and _wanted(p, state) for p in pods]
        return all(good) and len(good) == state.desired

    def _stalled(self, state: State, pods: list[PodStatus]) -> str:
        ready = sum(p.ready and p.exact == state.template.exact for p in pods)
        progress = (state.generation, ready, -len(pods))
        if progress != self._progress:
            self._progress, self._since = progress, time.monotonic()
        idle = time.monotonic() - self._since
        if idle <= PROGRESS_DEADLINE_S:
            return ""
        return (
            f"{ready} of {state.desired} replicas are ready; no progress for {idle:.0f} s of {PROGRESS_DEADLINE_S:.0f}"
        )


def _wanted(pod: PodStatus, state: State) -> bool:
    return pod.exact == state.template.exact and pod.uid not in state.replaced


async def control(layout: Layout) -> None:
    """Run the loop until supervisord is gone. Raises what a cycle raises; supervisord then starts us again."""
    parent = os.getppid()
    controller = Controller(layout, load(layout))
    while os.getppid() == parent:  # an orphan must not go on: nobody would restart what it stops
        busy = await controller.cycle()
        await asyncio.sleep(BUSY_S if busy else IDLE_S)
    print("supervisord is gone; so am I", flush=True)


def main() -> int:
    """Run for the directory on the command line; a second controller of the same one does not start."""
    layout = Layout(Path(sys.argv[1]))
    try:
        with locked(layout.directory / "controller.lock", timeout_s=2.0):
            asyncio.run(control(layout))
    except CodeBlueError as error:
        print(f"{error.message} {error.remedy}", file=sys.stderr, flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
