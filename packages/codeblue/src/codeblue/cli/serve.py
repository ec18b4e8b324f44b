"""`codeblue serve`: the daemon."""

import asyncio
import json
import os
import signal
import sys
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from codeblue.cli.frame import ENDING, Common, emit, flush, printable, say
from codeblue.model.errors import CodeBlueError, ExitCode, LeaseLost, UsageError

if TYPE_CHECKING:
    import socket

    from codeblue.profile.model import Profile

_DEFAULT = Common()


def serve(*, listen: str = "", common: Common = _DEFAULT) -> int:
    """Watch the service, decide, act and prove, until stopped. Several may stand by for each other.

    One line for each cycle on standard output; with --json each line is a JSON object. First it warns of what the
    profile says and this version does not do, and where nobody is paged. SIGTERM and Ctrl-C end it in order (exit 0):
    its lease is free at once, and a run that was under way goes on with whoever takes over. What it has to say to
    machines goes to standard error, as JSON lines.

    Parameters
    ----------
    listen
        Host and port to answer HTTP on, "127.0.0.1:8700"; default: what `api` in the profile says, else nowhere.
    """
    from codeblue.cli.logs import log_as_json
    from codeblue.daemon import Daemon
    from codeblue.profile.caveats import caveats
    from codeblue.watch.pulse import Heart
    from codeblue.wiring import dead_man_of, open_app, record_place

    profile = common.load()
    log_as_json()
    bound = _bound(profile, listen)  # before anything is begun
    dead_man = dead_man_of(profile)
    app = open_app(profile)
    heart = Heart(app.clock)

    def sentence(text: str) -> None:
        at = datetime.now(UTC)
        if common.json:
            emit(json.dumps({"at": at.isoformat(), "sentence": text}), sys.stdout)
        else:
            emit(printable(f"{at:%H:%M:%S} {text}"), sys.stdout)

    def stand_down(error: CodeBlueError) -> None:
        # what still runs in this process may record nothing more: it ends, and whoever started it starts it anew
        sentence(f"standing down: {error.message}")
        say(f"Standing down: {error.message}")
        if error.remedy:
            say(f"Next: {error.remedy}")
        flush()
        os._exit(int(ExitCode.REFUSED if isinstance(error, LeaseLost) else error.exit_code))

    async def run() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        ignored = [n for n in ENDING if signal.getsignal(n) is signal.SIG_IGN]  # nohup
        for number in {signal.SIGTERM, signal.SIGINT, *ENDING}.difference(ignored):
            loop.add_signal_handler(number, stop.set)
        await Daemon(app, sentence, stand_down, heart=heart, dead_man=dead_man).run(stop)
        await asyncio.to_thread(serving.close)
        if dead_man is not None:
            await dead_man.close()
        await app.close()

    for caveat in caveats(profile):
        sentence(f"WARNING: {caveat.text}")
    with ExitStack() as serving:
        if bound is not None:
            from codeblue.web.app import make_app
            from codeblue.web.desk import open_desk
            from codeblue.web.server import HttpServer

            desk = open_desk(app.record, profile, app.clock, heart, record_place(profile))
            server = HttpServer(make_app(desk), bound)
            server.start()
            serving.callback(server.stop)
            sentence(f"answering on http://{server.shown}")
        asyncio.run(run())
    flush()
    os._exit(int(ExitCode.DONE))  # DBOS's threads would keep the process for seconds


def _bound(profile: "Profile", listen: str) -> "socket.socket | None":
    """The socket to answer HTTP on, None where nobody asked for that. Raises UsageError, Unreachable."""
    if not listen and profile.api is None:
        return None
    from pydantic_core import PydanticCustomError

    from codeblue.profile.api import LISTEN, parse_listen
    from codeblue.web.server import listen as bind

    try:
        host, port = parse_listen(listen or (profile.api.listen if profile.api is not None else LISTEN))
    except PydanticCustomError as error:
        context = error.context or {}
        raise UsageError(f"--listen {context.get('message')}.", remedy=f"{context.get('remedy')}") from None
    return bind(host, port)
