"""`codeblue serve`: the daemon."""

import asyncio
import json
import os
import signal
import sys
from datetime import UTC, datetime

from codeblue.cli.frame import ENDING, Common, emit, flush, printable, say
from codeblue.model.errors import CodeBlueError, ExitCode, LeaseLost

_DEFAULT = Common()


def serve(*, common: Common = _DEFAULT) -> int:
    """Watch the service, decide, act and prove, until stopped. Several may stand by for each other.

    One line for each cycle on standard output; with --json each line is a JSON object. First it warns of what the
    profile says and this version does not do, and where nobody is paged. SIGTERM and Ctrl-C end it in order (exit 0):
    its lease is free at once, and a run that was under way goes on with whoever takes over.
    """
    from codeblue.daemon import Daemon
    from codeblue.profile.caveats import caveats
    from codeblue.wiring import open_app

    profile = common.load()
    app = open_app(profile)

    def sentence(text: str) -> None:
        at = datetime.now(UTC)
        if common.json:
            emit(json.dumps({"at": at.isoformat(), "sentence": text}), sys.stdout)
        else:
            emit(printable(f"{at:%H:%M:%S} {text}"), sys.stdout)

    def stand_down(error: CodeBlueError) -> None:
        # what still runs in this process may record nothing more: it ends, and whoever started it starts it anew
        sentence(f"standing down: {error.message}")
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
        await Daemon(app, sentence, stand_down).run(stop)
        await app.close()

    for caveat in caveats(profile):
        sentence(f"WARNING: {caveat.text}")
    asyncio.run(run())
    flush()
    os._exit(int(ExitCode.DONE))  # DBOS's threads would keep the process for seconds
