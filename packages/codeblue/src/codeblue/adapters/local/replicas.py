"""The replicas as supervised programs: made, looked at, and ended with nothing left of them."""

import random
import secrets
import socket
import uuid
from dataclasses import dataclass, field

from codeblue.adapters.local.files import Layout, read_json, write_json, write_text
from codeblue.adapters.local.health import Health
from codeblue.adapters.local.proc import kill_marked
from codeblue.adapters.local.state import State
from codeblue.adapters.local.status import PodStatus
from codeblue.adapters.local.supervisor import Program, Supervisor, program_config
from codeblue.adapters.local.template import parse
from codeblue.model.release import Template

#: Ports of replicas: below those that the kernel gives to outgoing connections.
_PORTS = range(20_000, 30_000)

#: A replica that ends sooner than this, in seconds, crashed while starting: each restart waits longer.
SETTLE_S = 10

#: Restarts after which a replica that does not get ready is said to be in a crash loop.
_LOOP = 2

#: Logs of ended replicas that are kept.
_LOGS_KEPT = 40


@dataclass(slots=True)
class Running:
    """One replica in the controller's memory; `record` is the same on disk."""

    name: str
    uid: str
    template: Template
    port: int
    health: Health
    terminating: bool = False
    asked_to_stop: bool = False
    pid: int = 0
    notes: dict[str, object] = field(default_factory=dict)


class Replicas:
    """All replicas of one workload, in the order in which they were started.

    The calls block; the controller runs them in a thread, one at a time.
    """

    def __init__(self, layout: Layout, supervisor: Supervisor, health_path: str) -> None:
        self._layout, self._supervisor, self._health_path = layout, supervisor, health_path
        self.all: list[Running] = []

    def recover(self) -> None:
        """Take up what a former controller left: the records in order of their creation."""
        for path in sorted(self._layout.pods.glob("*.json"), key=lambda p: p.stat().st_mtime_ns):
            record = read_json(path)
            if record is not None:
                template = parse(str(record["body"]))
                health = Health(int(record["port"]), self._health_path)
                running = Running(path.stem, str(record["uid"]), template, int(record["port"]), health)
                running.terminating = bool(record["terminating"])
                self.all.append(running)

    def create(self, state: State, health: Health, port: int) -> Running:
        """A record for a new replica of the template in force; `adopt` starts it."""
        name = f"{state.name}-{state.template.exact[:8]}-{secrets.token_hex(3)}"
        running = Running(name, uuid.uuid4().hex, state.template, port, health)
        self.all.append(running)
        return running

    def free_port(self) -> int:
        """A port that nobody listens on at the moment."""
        taken = {r.port for r in self.all}
        for port in random.sample(_PORTS, 200):
            if port in taken:
                continue
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind(("127.0.0.1", port))
                except OSError:
                    continue
            return port
        raise OSError("no free port between 20000 and 29999")

    def start(self, running: Running) -> None:
        """Write its record and its program, and have it started. May be repeated."""
        self._record(running)
        arguments = [str(self._layout.directory), running.name]
        config = program_config(self._layout, running.name, "launch", arguments, settle_s=SETTLE_S)
        write_text(self._layout.programs / f"{running.name}.ini", config, durable=False)
        self._supervisor.add(running.name)

    def retire(self, running: Running) -> None:
        """Take it out of the traffic; it is asked to end only after the forwarder could see that."""
        running.terminating = True
        running.health.stop()
        self._record(running)

    def refresh(self, programs: dict[str, Program]) -> None:
        """Bring every replica to where it should be as far as that needs no decision, and read its own notes."""
        for running in list(self.all):
            program = programs.get(running.name)
            if running.terminating:
                self._end(running, program)
                continue
            if program is None:
                self.start(running)
            elif program.state in ("STOPPED", "FATAL"):
                self._supervisor.start(running.name)  # somebody stopped it by hand; its place is to run
            pid = program.pid if program else 0
            if pid != running.pid:
                running.pid = pid
                running.health.restarted()
            running.notes = dict(read_json(self._layout.pods / f"{running.name}.run") or {})

    def status(self, running: Running, program: Program | None) -> PodStatus:
        """What is reported of one replica."""
        up = program is not None and program.up
        ready = up and running.health.ready and not running.terminating
        restarts = max(0, int(str(running.notes.get("starts", 1))) - 1)
        trouble = "" if ready else str(running.notes.get("trouble", ""))
        if not trouble and not ready and not running.terminating and restarts >= _LOOP:
            trouble = "CrashLoopBackOff"
        return PodStatus(
            name=running.name,
            uid=running.uid,
            exact=running.template.exact,
            release=running.template.release,
            images=running.template.images,
            port=running.port,
            pid=running.pid if up else 0,
            ready=ready,
            terminating=running.terminating,
            restarts=restarts,
            trouble=trouble,
            since=str(running.notes.get("since", "")),
        )

    def _end(self, running: Running, program: Program | None) -> None:
        """One step towards its end: ask, wait, then remove what is left."""
        if program is not None and program.state in ("RUNNING", "STARTING", "BACKOFF", "STOPPING"):
            if not running.asked_to_stop:
                running.asked_to_stop = True
                self._supervisor.stop(running.name)
            return
        kill_marked(self._layout.directory, pod=running.name)
        if program is not None:
            self._supervisor.remove(running.name)
        (self._layout.programs / f"{running.name}.ini").unlink(missing_ok=True)
        (self._layout.pods / f"{running.name}.run").unlink(missing_ok=True)
        (self._layout.pods / f"{running.name}.json").unlink(missing_ok=True)
        self.all.remove(running)
        self._prune_logs()

    def _record(self, running: Running) -> None:
        record = {
            "uid": running.uid,
            "body": running.template.body,
            "port": running.port,
            "terminating": running.terminating,
        }
        write_json(self._layout.pods / f"{running.name}.json", record, durable=False)

    def _prune_logs(self) -> None:
        alive = {r.name for r in self.all} | {"controller", "forwarder", "supervisord"}
        logs = [p for p in self._layout.logs.glob("*.log*") if p.name.partition(".log")[0] not in alive]
        for old in sorted(logs, key=lambda p: p.stat().st_mtime_ns)[:-_LOGS_KEPT]:
            old.unlink(missing_ok=True)
