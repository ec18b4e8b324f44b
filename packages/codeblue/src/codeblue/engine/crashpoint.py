"""Named places where tests kill or freeze the process (B3), before and after each thing that must not happen twice."""

import os
import signal

KILL_AT, FREEZE_AT = "CODEBLUE_KILL_AT", "CODEBLUE_FREEZE_AT"


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
