"""The operator's side of a local workload: start it, deploy to it, stop it. Each may be called twice.

These calls block. They are what a release pipeline and a person at the machine do; nothing here is fenced.
"""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from codeblue.adapters.local import store
from codeblue.adapters.local.files import Layout, locked, write_json, write_text
from codeblue.adapters.local.proc import MARKER, kill_marked, marked
from codeblue.adapters.local.state import State, new_state, to_json
from codeblue.adapters.local.status import read_status
from codeblue.adapters.local.supervisor import Supervisor, forwarding, program_config, supervisord_config
from codeblue.adapters.local.template import read_template
from codeblue.model.errors import CodeBlueError, Failed, Refused, Unreachable, UsageError

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")

#: Seconds that starting and stopping may take. Replicas have ten seconds of grace of their own.
START_S, STOP_S = 20.0, 25.0


#: Where a new workload is reached when nobody says otherwise.
SERVICE_PORT = 8600


def start(
    directory: Path,
    workload: str,
    template: Mapping[str, Any],
    *,
    replicas: int,
    health_path: str,
    service_port: int | None = None,
) -> bool:
    """Make the workload if there is none in the directory, and bring up whatever of it does not run.

    A workload that exists keeps what it has, above all its template: a restart of the machine must not undo a rollback.
    Use `deploy` to change it. The replicas need not be ready when this returns.

    Args:
        directory: the workload's home; made if need be, readable by its owner alone.
        workload: its name: lower-case letters, digits and hyphens.
        template: see `template.read_template`.
        replicas: how many, at least one.
        health_path: asked on each replica's port; 2xx and 3xx mean ready.
        service_port: where the forwarder listens, on 127.0.0.1. None: where it does already, or `SERVICE_PORT`.

    Returns:
        whether something had to be started.

    Raises:
        UsageError: an argument is wrong.
        Refused: another workload lives there, or this one on another port; or the port is taken.
        Unreachable: it did not come up in time; says where to look. Forbidden.
    """
    new_port = SERVICE_PORT if service_port is None else service_port
    _check(workload, replicas, health_path, new_port)
    first = read_template(template)
    layout = Layout(directory)
    layout.make()
    with locked(layout.operator_lock, timeout_s=START_S + STOP_S):
        if layout.state.exists():
            _same(layout, store.load(layout), workload, service_port)
        else:
            _refuse_taken_port(new_port)  # before it is written down, where it would stay
            state = new_state(
                workload,
                first,
                replicas=replicas,
                health_path=health_path,
                service_port=new_port,
                at=datetime.now(UTC),
            )
            write_json(layout.state, to_json(state))
        state = store.load(layout)
        supervisor = Supervisor(layout)
        started = not supervisor.answers()
        if started:
            _end_everything(layout)
            layout.make()
            _refuse_taken_port(state.service_port)
            _launch(layout, state)
        _wait(lambda: _up(layout, supervisor), START_S, f"{workload} did not come up; see the logs in {layout.logs}")
    return started


def deploy(directory: Path, template: Mapping[str, Any], *, manager: str = "deploy") -> State:
    """Put a template in force, as a release pipeline does: over whatever is there, without fence or precondition.

    The template that is in force already changes nothing.

    Raises:
        UsageError: the template is wrong. NotFound: there is no workload. Forbidden, Unreachable.
    """
    wanted, at = read_template(template), datetime.now(UTC)

    def change(state: State) -> State:
        return state if state.template.exact == wanted.exact else state.with_template(wanted, manager, at)

    return store.edit(Layout(directory), change)


def seen(directory: Path) -> State:
    """What is wanted of the workload now. Raises NotFound, Forbidden, Unreachable."""
    return store.load(Layout(directory))


def stop(directory: Path, *, forget: bool = False) -> bool:
    """End everything that belongs to the workload; returns when no process of it is left.

    Args:
        forget: remove its state, history and logs as well, that is, the whole directory's content that is ours.

    Returns:
        False where there is no such directory, and so nothing to end.

    Raises:
        Failed: some process could not be ended. Forbidden, Unreachable.
    """
    layout = Layout(directory)
    if not layout.directory.is_dir():
        return False
    with locked(layout.operator_lock, timeout_s=START_S + STOP_S):
        supervisor = Supervisor(layout)
        with suppress(Unreachable):
            supervisor.shutdown()
            # each question wakes supervisord, which otherwise looks at its children once a second
            _wait(lambda: not supervisor.answers() and not marked(layout.directory), STOP_S, "supervisord goes on")
        _end_everything(layout)
        if layout.socket.parent != layout.directory:
            layout.socket.parent.rmdir()
        if forget:
            _forget(layout)
    return True


def _check(workload: str, replicas: int, health_path: str, service_port: int) -> None:
    wrong = []
    if not _NAME.fullmatch(workload):
        wrong.append(f"workload {workload!r}: lower-case letters, digits and hyphens, at most 40")
    if replicas < 1:
        wrong.append(f"replicas {replicas}: at least 1")
    if not re.fullmatch(r"/[!-~]*", health_path):
        wrong.append(f"health_path {health_path!r}: starts with / and has no spaces")
    if not 1 <= service_port <= 65535:
        wrong.append(f"service_port {service_port}: 1 to 65535")
    if wrong:
        raise UsageError(
            f"The workload cannot be started: {'; '.join(wrong)}.", remedy="`codeblue local start --help` names each."
        )


def _same(layout: Layout, state: State, workload: str, service_port: int | None) -> None:
    if state.name != workload:
        raise Refused(
            f"{layout.directory} is the home of the workload {state.name!r}, not of {workload!r}.",
            remedy="Choose another directory.",
        )
    if service_port not in (None, state.service_port):
        raise Refused(
            f"{workload} exists already, on port {state.service_port}; starting it does not move it to {service_port}. "
            "Nothing was changed.",
            remedy="Leave the port out to bring it up as it is. To move it: `codeblue local stop --forget`, which "
            "forgets its history as well, and start it again.",
        )


def _refuse_taken_port(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise Refused(
                f"Port {port} cannot be had: {error.strerror}.",
                remedy=f"See who has it with `ss -ltnp 'sport = :{port}'`, or choose another service port.",
            ) from error


def _launch(layout: Layout, state: State) -> None:
    """Start supervisord detached, with the controller and the forwarder as its first programs."""
    directory = str(layout.directory)
    write_text(layout.config, supervisord_config(layout, state.name))
    for name, arguments in (("controller", [directory]), ("forwarder", [directory, str(state.service_port)])):
        config = program_config(layout, name, name, arguments, settle_s=1)
        write_text(layout.programs / f"{name}.ini", config)
    command = [sys.executable, "-P", "-m", "supervisor.supervisord", "-c", str(layout.config)]
    try:
        done = subprocess.run(
            command,
            cwd="/",
            env={**os.environ, MARKER: directory},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            timeout=START_S,
            check=False,
            umask=0o077,
        )
    except subprocess.TimeoutExpired as error:
        raise Unreachable(f"supervisord did not start within {START_S:g} s; see {layout.logs}.") from error
    if done.returncode:
        raise Failed(
            f"supervisord did not start: {done.stderr.strip() or f'exit code {done.returncode}'}.",
            remedy="It comes with Code Blue (PyPI supervisor); reinstall it in this Python environment.",
        )


def _up(layout: Layout, supervisor: Supervisor) -> bool:
    with suppress(CodeBlueError):
        programs = supervisor.programs()
        status = read_status(layout)
        controller = programs.get("controller")
        reports = controller is not None and controller.up and status is not None and status.fresh
        return reports and forwarding(layout, programs)
    return False


def _end_everything(layout: Layout) -> None:
    """End what a dead supervisord left behind, and remove the traces that would be started again."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if kill_marked(layout.directory, number=number):
            with suppress(Unreachable):
                _wait(lambda: not marked(layout.directory), 5.0, "still there")
    if left := marked(layout.directory):
        raise Failed(f"Processes {left} of {layout.directory} do not end.", remedy="Look at them with `ps -fp`.")
    for path in (*layout.programs.glob("*.ini"), *layout.pods.iterdir()) if layout.pods.is_dir() else ():
        path.unlink(missing_ok=True)
    for path in (layout.status, layout.forwarder, layout.socket, layout.pidfile):
        path.unlink(missing_ok=True)


def _forget(layout: Layout) -> None:
    """Remove what the platform wrote. Files of the service itself, in its working directory, stay."""
    for folder in (layout.programs, layout.pods, layout.logs):
        for path in folder.glob("*"):
            path.unlink(missing_ok=True)
        folder.rmdir()
    locks = (layout.lock, layout.operator_lock, layout.directory / "controller.lock")
    for path in (layout.state, layout.lease, layout.config, *locks):
        path.unlink(missing_ok=True)
    for folder in (layout.work, layout.directory):
        with suppress(OSError):  # something of the service's own is in it
            folder.rmdir()


def _wait(done: Callable[[], bool], timeout_s: float, message: str) -> None:
    deadline = time.monotonic() + timeout_s
    while not done():
        if time.monotonic() > deadline:
            raise Unreachable(f"{message} ({timeout_s:g} s).")
        time.sleep(0.05)
