"""Operator commands inside pods of the service (`contract.run_in: pod`): keeps `ports.commands.Commands`."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO, cast

import httpx2
from lightkube import AsyncClient
from lightkube.config.kubeconfig import SingleConfig
from lightkube.core.exceptions import ApiError, ConfigError

from codeblue.adapters.kubernetes.platform import KubernetesPlatform
from codeblue.model.errors import CodeBlueError
from codeblue.model.health import Outcome
from codeblue.ports.commands import OUTPUT_LIMIT, CommandResult, filled


class PodCommands:
    """Runs argument lists in ready pods of the template in force.

    Without a ready pod the answer is unknown, not failed (D5): the command could not be asked.
    """

    def __init__(
        self, commands: Mapping[Any, Sequence[str]], config: SingleConfig, platform: KubernetesPlatform
    ) -> None:
        self._commands, self._config, self._platform = commands, config, platform

    def offers(self, name: str) -> bool:
        return name in self._commands

    async def run(self, name: str, *, timeout_s: float, values: Mapping[str, str] | None = None) -> CommandResult:
        try:
            seen = await self._platform.observe()
        except CodeBlueError as error:
            return CommandResult(name, Outcome.UNKNOWN, error.message)
        pod = next((p for p in seen.live_pods if p.ready and p.template == seen.template.exact), None)
        if pod is None:
            return CommandResult(name, Outcome.UNKNOWN, "no pod is ready to run it in")
        return await self._in_pod(name, filled(self._commands[name], values), pod.name, timeout_s, keep=0)

    async def everywhere(self, name: str, *, timeout_s: float) -> Sequence[CommandResult]:
        try:
            seen = await self._platform.observe()
        except CodeBlueError as error:
            return [CommandResult(name, Outcome.UNKNOWN, error.message)]
        argv = self._commands[name]
        asked = [self._in_pod(name, argv, pod.name, timeout_s, keep=OUTPUT_LIMIT) for pod in seen.live_pods]
        return await asyncio.gather(*asked)

    async def _in_pod(self, name: str, argv: Sequence[str], pod: str, timeout_s: float, *, keep: int) -> CommandResult:
        client = AsyncClient(self._config, namespace=self._platform.ref.namespace, trust_env=False)
        stdout = _Sink(keep)
        try:
            async with asyncio.timeout(timeout_s):
                answer = await client.exec(
                    pod,
                    container=self._platform.ref.container,
                    command=list(argv),
                    stdout=cast(BinaryIO, stdout),
                    timeout=timeout_s,
                )
        except TimeoutError:
            return CommandResult(name, Outcome.UNKNOWN, f"it did not end within {timeout_s:g} s in {pod}")
        except (ApiError, ConfigError, httpx2.HTTPError) as error:
            return CommandResult(name, Outcome.UNKNOWN, f"it could not be run in {pod}: {type(error).__name__}")
        finally:
            await client.close()
        outcome = Outcome.OK if answer.exit_code == 0 else Outcome.BREACH
        return CommandResult(name, outcome, f"exit code {answer.exit_code} in {pod}", stdout.kept)


class _Sink:
    """Takes everything and keeps at most the first `keep` bytes: what a command prints can hold patient data."""

    def __init__(self, keep: int) -> None:
        self._keep, self.kept = keep, b""

    def write(self, data: Any, /) -> int:
        self.kept += bytes(data)[: self._keep - len(self.kept)]
        return len(data)
