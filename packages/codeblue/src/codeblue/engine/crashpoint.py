"""Named places where tests kill or freeze the process (B3), before and after each thing that must not happen twice."""

import asyncio
import os
import signal

KILL_AT, FREEZE_AT, HANG_AT = "CODEBLUE_KILL_AT", "CODEBLUE_FREEZE_AT", "CODEBLUE_HANG_AT"


def crashpoint(name: str) -> None:
    """Die or freeze here when the environment says so; in production it never does.

    Args:
        name: a step's id and "started", "intended", "applied", "recorded" or "ended", as "template.applied"; or
            "run.started", "run.ended".
    """
    if os.environ.get(KILL_AT) == name:
        os.kill(os.getpid(), signal.SIGKILL)
    if os.environ.get(FREEZE_AT) == name:
        del os.environ[FREEZE_AT]
        os.kill(os.getpid(), signal.SIGSTOP)


async def hangpoint(name: str) -> None:
    """Hang for ever here when the environment says so, once the process was frozen; in production it never does.

    So a test decides which of two coroutines is first after a freeze.
    """
    if os.environ.get(HANG_AT) == name and FREEZE_AT not in os.environ:
        await asyncio.Event().wait()
