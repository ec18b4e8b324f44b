"""Operator commands as child processes on this machine: keeps `ports.commands.Commands`."""

import asyncio
import os
import signal
from collections.abc import Mapping, Sequence
from typing import Any

from codeblue.model.health import Outcome
from codeblue.ports.commands import CommandResult


class SubprocessCommands:
    """Runs argument lists, never a shell. Each command leads its own process group, which ends with it."""

    def __init__(self, commands: Mapping[Any, Sequence[str]]) -> None:
        self._commands = commands

    def offers(self, name: str) -> bool:
        return name in self._commands

    async def run(self, name: str, *, timeout_s: float) -> CommandResult:
        argv = self._commands[name]
        try:
            process = await asyncio.create_subprocess_exec(
                *argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,  # what it prints can hold patient data; the exit code is its answer
                stderr=asyncio.subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            return CommandResult(name, Outcome.UNKNOWN, f"{argv[0]} could not be started: {error.strerror}")
        try:
            async with asyncio.timeout(timeout_s):
                code = await process.wait()
        except TimeoutError:
            return CommandResult(name, Outcome.UNKNOWN, f"{argv[0]} did not end within {timeout_s:g} s")
        finally:
            _end(process)
            await process.wait()
        if code == 0:
            return CommandResult(name, Outcome.OK, "exit code 0")
        return CommandResult(name, Outcome.BREACH, f"exit code {code}")


def _end(process: asyncio.subprocess.Process) -> None:
    """End the whole group: a child that outlives its command must not go on with an operator's work."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
