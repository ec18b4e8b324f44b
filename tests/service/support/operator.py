"""Operator commands, run in this process."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest
from tests.process import CLEAN


@dataclass
class Cli:
    """Runs operator commands in this process, with an environment of their own."""

    monkeypatch: pytest.MonkeyPatch
    capsys: pytest.CaptureFixture[str]
    env: dict[str, str]

    def __call__(self, line: str, **env: str) -> tuple[int, dict[str, Any]]:
        """The exit code and the JSON answer ({} where none was printed)."""
        from ai_diagnostics.cli import main

        with self._environment(env):
            self.capsys.readouterr()
            try:
                code = main([*line.split(), "--json"])
            except SystemExit as stop:
                code = int(stop.code or 0)
        printed = self.capsys.readouterr().out
        answer: dict[str, Any] = json.loads(printed) if printed else {}
        if answer:
            assert set(answer) == {"command", "verdict", "exit_code", "at", "problems", "data"}
            assert answer["exit_code"] == code
            assert (answer["verdict"] == "ok") == (not answer["problems"]) == (code == 0)
        return code, answer

    def at_once(self, lines: list[str], **env: str) -> tuple[dict[str, int], str]:
        """Run several at the same time: their exit codes, and all that they printed."""
        from ai_diagnostics.cli import main

        with self._environment(env), ThreadPoolExecutor(len(lines)) as pool:
            self.capsys.readouterr()
            codes = dict(zip(lines, pool.map(lambda line: main(line.split()), lines), strict=True))
        printed = self.capsys.readouterr()
        return codes, printed.out + printed.err

    @contextlib.contextmanager
    def _environment(self, env: Mapping[str, str]) -> Iterator[None]:
        with self.monkeypatch.context() as patch:
            for name in set(os.environ) - set(CLEAN):
                patch.delenv(name)
            for name, value in {**self.env, **env}.items():
                patch.setenv(name, value)
            yield
