"""Operator commands as child processes on this machine: keeps `ports.commands.Commands`."""

import asyncio
import os
import signal
from collections.abc import Mapping, Sequence
from typing import Any

from codeblue.model.health import Outcome
from codeblue.ports.commands import OUTPUT_LIMIT, CommandResult, filled


class SubprocessCommands:
    """Runs argument lists, never a shell. Each command leads its own process group, which ends with it."""

    def __init__(self, commands: Mapping[Any, Sequence[str]]) -> None:
        self._commands = commands

    def offers(self, name: str) -> bool:
        return name in self._commands

    async def run(self, name: str, *, timeout_s: float, values: Mapping[str, str] | None = None) -> CommandResult:
        return await self._run(name, filled(self._commands[name], values), timeout_s, asyncio.subprocess.DEVNULL)

    async def everywhere(self, name: str, *, timeout_s: float) -> Sequence[CommandResult]:
        return [await self._run(name, self._commands[name], timeout_s, asyncio.subprocess.PIPE)]

    async def _run(self, name: str, argv: Sequence[str], timeout_s: float, stdout: int) -> CommandResult:
        try:
            process = await asyncio.create_subprocess_exec(
                *argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=stdout,
                stderr=asyncio.subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            return CommandResult(name, Outcome.UNKNOWN, f"{argv[0]} could not be started: {error.strerror}")
        output = b""
        try:
            async with asyncio.timeout(timeout_s):
                if process.stdout is not None:
                    output = await _bounded(process.stdout)
                code = await process.wait()
        except TimeoutError:
            return CommandResult(name, Outcome.UNKNOWN, f"{argv[0]} did not end within {timeout_s:g} s")
        finally:
            _end(process)
            await process.wait()
        outcome = Outcome.OK if code == 0 else Outcome.BREACH
        return CommandResult(name, outcome, f"exit code {code}", output)


async def _bounded(stream: asyncio.StreamReader) -> bytes:
    """The start of a stream; the rest is read and thrown away, so that the command is not held up."""
    kept = b""
    while part := await stream.read(65536):
        kept += part[: OUTPUT_LIMIT - len(kept)]
    return kept


def _end(process: asyncio.subprocess.Process) -> None:
    """End the whole group: a child that outlives its command must not go on with an operator's work."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
