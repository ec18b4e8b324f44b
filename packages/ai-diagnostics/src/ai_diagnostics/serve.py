"""Starting the service: socket, preload, workers."""

from __future__ import annotations

import socket

from ai_diagnostics.logs import always, log
from ai_diagnostics.settings import Settings
from ai_diagnostics.supervisor import listen, supervise


def serve(settings: Settings) -> int:
    """Serve until SIGTERM; return the exit code (0 graceful, 1 failed)."""
    always(pod=settings.pod, release=settings.version)
    if settings.faults.crash:
        log("crash", reason="RELEASE_FAULT=crash")
        return 1
    import uvicorn  # before the fork: paid once for all workers

    from ai_diagnostics.app import build

    try:
        sock = listen(settings.host, settings.port)
    except OSError as error:
        log("cannot_listen", host=settings.host, port=settings.port, errno=error.errno)
        return 1

    def work(sock: socket.socket, number: int) -> None:
        config = uvicorn.Config(
            build(settings),
            loop="asyncio",
            http="h11",
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=max(1, int(settings.grace_s)),
        )
        log("worker_started", worker=number)
        uvicorn.Server(config).run(sockets=[sock])

    log("listening", host=settings.host, port=sock.getsockname()[1], workers=settings.workers)
    return supervise(settings, sock, work, lambda pid: None)
