"""supervisord as we use it: its configuration, and its XML-RPC interface over a unix socket (supervisord.org/api.html).

It is only ever run and talked to, never imported.
"""

import http.client
import os
import shlex
import socket
import struct
import sys
import xmlrpc.client
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from codeblue.adapters.local.files import Layout, read_json
from codeblue.model.errors import Unreachable

#: Fault codes that mean "it is so already" (supervisor/xmlrpc.py).
_ALREADY_ADDED, _NOT_RUNNING, _ALREADY_STARTED, _BAD_NAME = 90, 70, 60, 10

#: Restarts without end; supervisord waits one second longer before each.
_RETRIES = 1_000_000


@dataclass(frozen=True, slots=True)
class Program:
    """One supervised program as supervisord sees it.

    Attributes:
        state: "RUNNING", "STARTING", "BACKOFF", "STOPPING", "STOPPED", "EXITED", "FATAL" or "UNKNOWN".
        pid: 0 when it does not run.
    """

    name: str
    state: str
    pid: int

    @property
    def up(self) -> bool:
        """There is a process."""
        return self.state in ("RUNNING", "STARTING")


class Supervisor:
    """Calls of supervisord's interface; each blocks for at most `timeout_s`.

    Every call raises `Unreachable` when supervisord does not answer.
    """

    def __init__(self, layout: Layout, *, timeout_s: float = 5.0) -> None:
        self._layout, self._path, self._timeout_s = layout, layout.socket, timeout_s

    def programs(self) -> dict[str, Program]:
        """All programs by name."""
        return {i["name"]: Program(i["name"], i["statename"], i["pid"]) for i in self._call("getAllProcessInfo")}

    def answers(self) -> bool:
        """Whether supervisord runs and answers."""
        try:
            return bool(self._call("getState")["statename"] == "RUNNING")
        except Unreachable:
            return False

    def add(self, name: str) -> None:
        """Take up a program whose configuration was written, and start it. Nothing happens if it is there."""
        self._call("reloadConfig")
        self._call("addProcessGroup", name, fine=(_ALREADY_ADDED,))

    def remove(self, name: str) -> None:
        """Forget a stopped program."""
        self._call("removeProcessGroup", name, fine=(_BAD_NAME,))

    def start(self, name: str) -> None:
        """Start a stopped program without waiting for it."""
        self._call("startProcess", name, False, fine=(_ALREADY_STARTED, _BAD_NAME))

    def stop(self, name: str) -> None:
        """Ask a program to end, without waiting: SIGTERM, and SIGKILL after its grace."""
        self._call("stopProcess", name, False, fine=(_NOT_RUNNING, _BAD_NAME))

    def shutdown(self) -> None:
        """Ask supervisord to stop everything and end."""
        self._call("shutdown")

    def _call(self, method: str, *arguments: Any, fine: Sequence[int] = ()) -> Any:
        proxy = xmlrpc.client.ServerProxy("http://localhost/RPC2", _UnixTransport(self._layout, self._timeout_s))
        try:
            with proxy:
                return getattr(proxy.supervisor, method)(*arguments)
        except xmlrpc.client.Fault as fault:
            if fault.faultCode in fine:
                return None
            raise Unreachable(f"supervisord refused {method} {arguments}: {fault.faultString}.") from fault
        except (OSError, http.client.HTTPException, xmlrpc.client.Error) as error:
            raise Unreachable(
                f"supervisord does not answer at {self._path}: {error}.",
                remedy="Start the workload again; `start` finds and replaces what is left of it.",
            ) from error


def forwarding(layout: Layout, programs: Mapping[str, Program]) -> bool:
    """Whether the forwarder that runs now has the service's port. Raises Forbidden, Unreachable."""
    program, said = programs.get("forwarder"), read_json(layout.forwarder)
    return program is not None and program.up and said is not None and said.get("pid") == program.pid


def supervisord_config(layout: Layout, name: str) -> str:
    """The configuration of supervisord itself."""
    user = ["user = root"] if os.getuid() == 0 else []
    lines = [
        "[unix_http_server]",
        f"file = {_escaped(layout.socket)}",
        "chmod = 0600",
        "[supervisord]",
        f"logfile = {_escaped(layout.logs / 'supervisord.log')}",
        "logfile_maxbytes = 1MB",
        "logfile_backups = 1",
        f"pidfile = {_escaped(layout.pidfile)}",
        f"childlogdir = {_escaped(layout.logs)}",
        f"identifier = codeblue-{name}",
        "minfds = 256",
        "minprocs = 32",
        "umask = 077",
        *user,
        "[rpcinterface:supervisor]",
        "supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface",
        "[include]",
        "files = programs/*.ini",
        "",
    ]
    return "\n".join(lines)


def program_config(layout: Layout, name: str, module: str, arguments: Sequence[str], *, settle_s: int) -> str:
    """The configuration of one supervised program.

    Args:
        module: the module of ours that is run.
        settle_s: a process that ends sooner is restarted with a growing delay, a later one at once.
    """
    command = [sys.executable, "-P", "-m", f"codeblue.adapters.local.{module}", *arguments]
    lines = [
        f"[program:{name}]",
        f"command = {_escaped(shlex.join(command))}",
        f"directory = {_escaped(layout.work)}",
        "autostart = true",
        "autorestart = true",
        f"startsecs = {settle_s}",
        f"startretries = {_RETRIES}",
        "stopsignal = TERM",
        "stopwaitsecs = 10",
        "killasgroup = true",
        "redirect_stderr = true",
        f"stdout_logfile = {_escaped(layout.logs / f'{name}.log')}",
        "stdout_logfile_maxbytes = 1MB",
        "stdout_logfile_backups = 1",
        "",
    ]
    return "\n".join(lines)


def _escaped(value: object) -> str:
    return str(value).replace("%", "%%")


class _UnixTransport(xmlrpc.client.Transport):
    def __init__(self, layout: Layout, timeout_s: float) -> None:
        super().__init__()
        self._layout, self._timeout_s = layout, timeout_s

    def make_connection(self, host: Any) -> http.client.HTTPConnection:
        connection = _UnixConnection(self._layout, self._timeout_s)
        self._connection = host, connection  # where the base class finds it when it is closed
        return connection


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, layout: Layout, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._layout = layout

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self.sock.settimeout(self.timeout)
            self.sock.connect(str(self._layout.socket))
            _, peer, _ = struct.unpack("3i", self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
            if peer != (owner := self._layout.directory.stat().st_uid):
                raise PermissionError(f"user id {peer} listens there, and the workload belongs to user id {owner}")
        except OSError:
            self.close()
            raise
