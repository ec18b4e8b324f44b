"""Becomes one replica: `python -m codeblue.adapters.local.launch DIRECTORY POD`, run by supervisord at each start.

It reads the secret files at this moment, builds the environment from nothing but the template and a few variables of
the machine, and replaces itself by the program. Values of secrets exist only in the replica's environment.
"""

import json
import os
import shutil
import sys
from datetime import UTC, datetime
from pathlib import Path

from codeblue.adapters.local.files import Layout, read_json, write_json
from codeblue.adapters.local.proc import MARKER, POD_MARKER, kill_marked

#: What a replica gets of the environment that the workload was started in. The rest is the template's.
_OF_THE_MACHINE = ("PATH", "HOME", "USER", "LANG", "LC_ALL", "TZ", "TMPDIR")

_SECRET_LIMIT = 64 * 1024


class CannotStart(Exception):
    """The replica cannot be started: a word for `Pod.trouble`, and the sentence for its log."""

    def __init__(self, trouble: str, why: str) -> None:
        super().__init__(why)
        self.trouble = trouble


def main() -> int:
    """Start the replica named on the command line; returns only when it cannot be started (78, EX_CONFIG)."""
    layout, pod = Layout(Path(sys.argv[1])), sys.argv[2]
    record = read_json(layout.pods / f"{pod}.json")
    if record is None:
        print(f"There is no replica {pod} any more.", file=sys.stderr)
        return 78
    kill_marked(layout.directory, pod=pod)  # workers that outlived their crashed parent would hold its port
    template = json.loads(record["body"])
    run = layout.pods / f"{pod}.run"
    starts = int((read_json(run) or {}).get("starts", 0)) + 1
    note = {"starts": starts, "since": datetime.now(UTC).isoformat(), "pid": os.getpid(), "trouble": ""}
    try:
        environment = _environment(template, pod, int(record["port"]), layout)
        program = shutil.which(template["command"][0], path=environment.get("PATH"))
        if program is None:
            raise CannotStart("ProgramMissing", f"{template['command'][0]!r} does not exist or cannot be executed.")
    except CannotStart as error:
        write_json(run, {**note, "trouble": error.trouble}, durable=False)
        print(error, file=sys.stderr)
        return 78
    write_json(run, note, durable=False)
    os.umask(0o022)  # supervisord has a stricter one, for its logs
    os.execve(program, template["command"], environment)  # noqa: S606 - an argument list, no shell


def _environment(template: dict[str, dict[str, str]], pod: str, port: int, layout: Layout) -> dict[str, str]:
    environment = {name: os.environ[name] for name in _OF_THE_MACHINE if name in os.environ}
    environment |= template["env"]
    for name, path in template["secrets"].items():
        environment[name] = _secret(name, Path(path))
    environment |= {"PORT": str(port), "HOST": "127.0.0.1", "POD_NAME": pod}
    environment |= {MARKER: str(layout.directory), POD_MARKER: pod}
    return environment


def _secret(name: str, path: Path) -> str:
    """The value in the file without the newline at its end. A missing secret never becomes "" (house rule 7)."""
    try:
        with path.open("rb") as file:
            value = file.read(_SECRET_LIMIT + 1)
    except OSError as error:
        raise CannotStart("SecretMissing", f"Secret {name}: {path} cannot be read: {error.strerror}.") from error
    text = value.decode(errors="surrogateescape").removesuffix("\n")
    if not text or "\0" in text or len(value) > _SECRET_LIMIT:
        raise CannotStart("SecretInvalid", f"Secret {name}: {path} is empty, too long or not text.")
    return text


if __name__ == "__main__":
    sys.exit(main())
