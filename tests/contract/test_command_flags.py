"""Flags through operator commands keep the port's contract: real npm scripts in front of a file (D26)."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.unleash import BUILD, BUILD_LIMIT_S

from codeblue.adapters.clock import SystemClock
from codeblue.adapters.flags.commands import CommandFlags
from codeblue.adapters.subprocess_commands import SubprocessCommands
from codeblue.model.errors import Refused, Unreachable
from codeblue.ports.flags import FlagStore
from codeblue.testing.contracts.flags import FENCE, NAMES, OFF, ON, OTHER, SHARE, SWITCH, FlagStoreContract, Harm

pytestmark = pytest.mark.slow

SCRIPT = """\
const fs = require("fs"), store = process.env.FLAGS_FILE
const flags = JSON.parse(fs.readFileSync(store))
const [verb, ...words] = process.argv.slice(2)
if (verb === "set") {
  const options = Object.fromEntries(words.map(w => w.replace(/^--/, "").split("=")))
  flags[options.name] = {value: JSON.parse(options.enabled)}
  fs.writeFileSync(store, JSON.stringify(flags))
} else {
  console.log(JSON.stringify({command: "flags status", data: {flags}}))
}
"""
PACKAGE = {
    "name": "service",
    "version": "1.0.0",
    "scripts": {"flags:status": "node flags.js status", "set-flag": "node flags.js set"},
}


@pytest.fixture(scope="session")
def npm() -> list[str]:
    """How npm is called here."""
    node = Path(
        subprocess.run([BUILD], capture_output=True, text=True, timeout=BUILD_LIMIT_S, check=True).stdout.split()[0]
    )
    beside = node.with_name("npm")
    return (
        [str(beside)] if beside.exists() else [str(node), str(node.parents[1] / "lib/node_modules/npm/bin/npm-cli.js")]
    )


class TestCommandFlags(FlagStoreContract):
    """See the module."""

    harms = frozenset((Harm.DELETED, Harm.TARGETED))

    @pytest.fixture
    def file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, npm: list[str]) -> Path:
        (tmp_path / "package.json").write_text(json.dumps(PACKAGE))
        (tmp_path / "flags.js").write_text(SCRIPT)
        file = tmp_path / "flags.json"
        file.write_text(json.dumps({name: {"value": value} for name, value in {**ON, OTHER: True}.items()}))
        monkeypatch.setenv("FLAGS_FILE", str(file))
        monkeypatch.setenv("PATH", f"{Path(npm[0]).parent}:/usr/bin:/bin")
        monkeypatch.setenv("npm_config_update_notifier", "false")
        return file

    @pytest.fixture
    def store(self, file: Path, npm: list[str]) -> FlagStore:
        script = [*npm, "--prefix", str(file.parent), "run"]
        commands = {
            "flags_status": (
                *script,
                "flags:status",
            ),  # without --silent: npm prints lines of its own before the answer
            "flags_set": (*script, "set-flag", "--", "--name={flag}", "--enabled={value}"),
        }
        return CommandFlags(SubprocessCommands(commands), SystemClock())

    @pytest.fixture
    def evaluated(self, file: Path) -> Callable[[str], object]:
        return lambda name: json.loads(file.read_text())[name]["value"]

    @pytest.fixture
    def harm(self, file: Path) -> Callable[[str, Harm], None]:
        def do(name: str, how: Harm) -> None:
            flags = json.loads(file.read_text())
            if how is Harm.DELETED:
                del flags[name]
            else:
                flags[name] = {"value": {"for": "some"}}
            file.write_text(json.dumps(flags))

        return do

    @pytest.fixture
    def down(self, file: Path) -> Callable[[], None]:
        return lambda: file.with_name("flags.js").write_text("process.exit(4)") and None

    @pytest.mark.defect("D26")
    @pytest.mark.done("5.2")
    async def test_an_npm_that_swallows_the_value_is_no_success(
        self, file: Path, npm: list[str], evaluated: Callable[[str], object]
    ) -> None:
        script = [*npm, "--prefix", str(file.parent), "run"]
        swallowing = {
            "flags_status": (*script, "flags:status"),
            "flags_set": (*script, "set-flag", "--name={flag}", "--enabled={value}"),
        }
        store = CommandFlags(SubprocessCommands(swallowing), SystemClock())
        change = store.change(await store.read(NAMES), OFF)
        assert change is not None
        with pytest.raises(Refused, match=f"flags_set failed for {SWITCH}: exit code 1"):
            await store.apply(change, FENCE)
        assert [evaluated(SWITCH), evaluated(SHARE)] == [True, 100]

    async def test_a_command_that_prints_no_flags_is_named(self, file: Path, store: FlagStore) -> None:
        file.with_name("flags.js").write_text("console.log('all is well')")
        with pytest.raises(Refused, match="flags_status did not print the flags"):
            await store.read(NAMES)

    async def test_a_command_that_hangs_is_unreachable(self, file: Path, npm: list[str]) -> None:
        commands = SubprocessCommands({"flags_status": ("sleep", "60"), "flags_set": ("sleep", "60")})
        store = CommandFlags(commands, SystemClock(), timeout_s=0.5)
        with pytest.raises(Unreachable, match="did not end within"):
            await store.read(NAMES)
