"""The parent process: one listening socket, N worker processes, a graceful stop (R59, R61).

Everything heavy is imported once, before the fork, so a worker is ready a few milliseconds after it was asked for.
The parent runs no event loop and no threads: it waits for signals with a deadline.
"""

from __future__ import annotations

import os
import signal
import socket
import time
from collections import deque
from collections.abc import Callable
from typing import NoReturn

from ai_diagnostics.logs import log, where
from ai_diagnostics.settings import Settings

# (listening socket, worker number, parent's pid, monotonic time of the service's start)
Work = Callable[[socket.socket, int], None]

_SIGNALS = {signal.SIGTERM, signal.SIGINT, signal.SIGCHLD}
_RESTARTS, _RESTARTS_WITHIN_S = 8, 30.0
_CLEAN_UP_S = 3.0  # for a worker that has given its last requests up


def listen(host: str, port: int) -> socket.socket:
    """Open the socket that all workers share; port 0 takes a free one.

    Raises:
        OSError: the address cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol named, asyncio sets TCP_NODELAY on the connections; else answers wait 40 ms for an ACK.
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((host, port))
    sock.listen(1024)
    sock.setblocking(False)
    return sock


def supervise(settings: Settings, sock: socket.socket, work: Work, buried: Callable[[int], None]) -> int:
    """Keep `settings.workers` processes running until SIGTERM or SIGINT; return the exit code.

    A worker that ends by itself is replaced; more than eight deaths in thirty seconds end the service with 1, so
    that the platform sees the crash loop instead of a socket nobody answers.

    Args:
        work: what a worker does with the socket; gets its 0-based number.
        buried: called with the pid of every worker that has ended, to clean up what it could not.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    workers: dict[int, int] = {}
    deaths: deque[float] = deque(maxlen=_RESTARTS)

    def start(number: int) -> None:
        pid = os.fork()
        if pid == 0:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            _child(work, sock, number)
        workers[pid] = number

    for number in range(settings.workers):
        start(number)
    crash_at = None if settings.faults.crash_after_s is None else settings.started + settings.faults.crash_after_s
    while True:
        wait_s = 3600.0 if crash_at is None else max(0.0, crash_at - time.monotonic())
        got = signal.sigtimedwait(_SIGNALS, wait_s)
        if got is not None and got.si_signo in (signal.SIGTERM, signal.SIGINT):
            log("stopping", signal=signal.Signals(got.si_signo).name)
            return _stop(workers, settings.grace_s + _CLEAN_UP_S, buried)
        if crash_at is not None and time.monotonic() >= crash_at:
            log("crash", reason="RELEASE_FAULT=crash-after")
            _stop(workers, 0.0, buried)
            return 1
        for pid, status in _reap():
            ended = workers.pop(pid, None)
            if ended is None:
                continue
            buried(pid)
            log("worker_died", worker=ended, worker_pid=pid, status=status)
            now = time.monotonic()
            if len(deaths) == _RESTARTS and now - deaths[0] < _RESTARTS_WITHIN_S:
                log("crash_loop", deaths=_RESTARTS, within_s=_RESTARTS_WITHIN_S)
                _stop(workers, 0.0, buried)
                return 1
            deaths.append(now)
            start(ended)


def _child(work: Work, sock: socket.socket, number: int) -> NoReturn:
    code = 1
    try:
        work(sock, number)
        code = 0
    except KeyboardInterrupt:
        code = 0
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 1
    except BaseException as error:
        log("worker_failed", worker=number, **where(error))
        raise
    finally:
        os._exit(code)  # neither the parent's finally blocks nor its atexit handlers are ours


def _reap() -> list[tuple[int, int]]:
    ended: list[tuple[int, int]] = []
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended
        if pid == 0:
            return ended
        ended.append((pid, os.waitstatus_to_exitcode(status)))


def _stop(workers: dict[int, int], grace_s: float, buried: Callable[[int], None]) -> int:
    """Ask, wait at most `grace_s` seconds, then kill; 0 when all went by themselves."""
    for pid in workers:
        os.kill(pid, signal.SIGTERM)
    deadline, killed = time.monotonic() + grace_s, False
    while workers:
        left_s = deadline - time.monotonic()
        if left_s <= 0 and not killed:
            for pid in workers:
                os.kill(pid, signal.SIGKILL)
            killed = True
        signal.sigtimedwait({signal.SIGCHLD}, 0.2 if left_s <= 0 else min(left_s, 0.2))
        for pid, _status in _reap():
            if workers.pop(pid, None) is not None:
                buried(pid)
    log("stopped", killed=killed)
    return 1 if killed else 0
