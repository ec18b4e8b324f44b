"""Starting the service: preload, socket, stores, workers."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import time

from ai_diagnostics import metrics_directory
from ai_diagnostics.logs import always, log, where
from ai_diagnostics.settings import Settings
from ai_diagnostics.supervisor import listen, supervise

_PREPARE_S = 15.0


def serve(settings: Settings) -> int:
    """Serve until SIGTERM; return the exit code (0 graceful, 1 failed)."""
    always(pod=settings.pod, version=settings.version)
    if settings.faults.crash:
        log("crash", reason="RELEASE_FAULT=crash")
        return 1
    left = metrics_directory.sweep()
    if left:
        log("metrics_swept", directories=left)
    directory = metrics_directory.claim()
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(directory)  # read when the metrics are made, at the import below
    try:
        return _serve(settings)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _serve(settings: Settings) -> int:
    import uvicorn  # before the fork: paid once for all workers

    from ai_diagnostics import metrics
    from ai_diagnostics.app import build

    metrics.buried(os.getpid())  # the parent's own zeros are no worker's
    _preload(settings)
    try:
        sock = listen(settings.host, settings.port)
    except OSError as error:
        log("cannot_listen", host=settings.host, port=settings.port, errno=error.errno)
        return 1
    _prepare(settings)

    def work(sock: socket.socket, number: int) -> None:
        config = uvicorn.Config(
            build(settings, number),
            loop="asyncio",
            http="h11",
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=max(1, int(settings.grace_s)),
        )
        uvicorn.Server(config).run(sockets=[sock])

    log("listening", host=settings.host, port=sock.getsockname()[1], workers=settings.workers)
    return supervise(settings, sock, work, metrics.buried)


def _preload(settings: Settings) -> None:
    """Import what this configuration needs, and nothing that it does not."""
    if any(item.url for item in (settings.openrouter, settings.rxnorm, settings.fhir, settings.lab)):
        import httpx2  # noqa: F401
    if settings.jwt_keys:
        import joserfc.jwt  # noqa: F401
    if settings.redis_url is not None:
        import redis  # noqa: F401
    if settings.storage.mongodb_uri is not None:
        import ai_diagnostics.store.mongo
        import ai_diagnostics.store.mongo_control  # noqa: F401


def _prepare(settings: Settings) -> None:
    """Make the stores and migrate up, in a process of its own with a deadline.

    In a child, because a database driver's threads and sockets must not be inherited by the workers. A database that
    is down does not keep the service from starting: health says so, and the workers try the control store again.
    """
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            prepare(settings)
            code = 0
        except Exception as error:  # noqa: BLE001  # told here; the child's code says it to the parent
            log("store_not_prepared", **where(error))
        finally:  # a fork must not run what the parent has registered for its end
            os._exit(code)
    deadline = time.monotonic() + _PREPARE_S
    while os.waitpid(pid, os.WNOHANG) == (0, 0):
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            log("store_not_prepared", error="TimeoutError", after_s=_PREPARE_S)
            return
        time.sleep(0.01)


def prepare(settings: Settings) -> None:
    """Make the control store and, with AUTO_MIGRATE, bring an older schema up to SCHEMA_VERSION; never down."""
    from ai_diagnostics.store import open_control, open_data

    open_control(settings.storage, initial=settings.initial)
    if not settings.storage.auto_migrate:
        return
    data = open_data(settings.storage, create=True)
    if data.schema_version() < settings.storage.schema_version:
        passed = data.migrate(settings.storage.schema_version)
        log("migrated", to=passed[-1])
