"""A release of a local service: what is started, with which environment and secret files."""

import hashlib
import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import rfc8785

from codeblue.model.errors import UsageError
from codeblue.model.release import Template
from codeblue.ports.platform import Overlay

_FIELDS = {"command", "env", "secrets", "version"}
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

#: Variables that the platform gives each replica.
GIVEN = ("PORT", "HOST", "POD_NAME")

#: Programs that run another file, whose absence means the release cannot start either.
_INTERPRETER = re.compile(r"(python|node|ruby|perl|java|php|bash|sh)[0-9.]*")


def read_template(raw: Mapping[str, Any]) -> Template:
    """A template from its JSON form.

    Args:
        raw: `command` (argument list), `env` (variables), `secrets` (variable → absolute path of the file that holds
            its value, read at each start and never stored) and `version`. All but `command` may be missing.

    Raises:
        UsageError: says every field that is wrong.
    """
    wrong = [f"unknown field {name!r}" for name in sorted(map(str, set(raw) - _FIELDS))]
    command, version = raw.get("command"), raw.get("version", "")
    if not (isinstance(command, list) and command and all(_text(c) for c in command)):
        wrong.append("command: a list of texts, the program first")
    if not _text(version):
        wrong.append("version: a text")
    env, secrets = raw.get("env", {}), raw.get("secrets", {})
    texts = [version, *(command if isinstance(command, list) else ())]
    for field, value in (("env", env), ("secrets", secrets)):
        if not isinstance(value, Mapping) or not all(_text(k) and _text(v) for k, v in value.items()):
            wrong.append(f"{field}: texts by name")
            texts += [*value.keys(), *value.values()] if isinstance(value, Mapping) else ()
            continue
        wrong += [f"{field}.{k}: not a name of a variable" for k in value if not _VARIABLE.fullmatch(k)]
        wrong += [f"{field}.{k}: the platform sets it" for k in value if k in GIVEN]
    if isinstance(secrets, Mapping):
        wrong += [f"secrets.{k}: not an absolute path" for k, v in secrets.items() if not str(v).startswith("/")]
    if any(isinstance(text, str) and not _text(text) for text in texts):
        wrong.append("no process can be given a text with a NUL or half of a surrogate pair in it")
    if wrong:
        raise UsageError(
            f"The template is wrong: {'; '.join(wrong)}.",
            remedy='It looks like {"command": ["python3", "/opt/api/serve.py"], "env": {}, "secrets": '
            '{"TOKEN": "/etc/api/token"}, "version": "2.1"}.',
        )
    release = {"command": list(command or ()), "env": dict(env), "version": version}
    exact = rfc8785.dumps({**release, "secrets": dict(secrets)})
    return Template(
        body=exact.decode(),
        release=hashlib.sha256(rfc8785.dumps(release)).hexdigest(),
        exact=hashlib.sha256(exact).hexdigest(),
        version=version,
        images=(release["command"][0],),
    )


def parse(body: str) -> Template:
    """A template from its own text. Raises UsageError."""
    raw = json.loads(body)
    if not isinstance(raw, dict):
        raise UsageError("The template is not a JSON object.")
    return read_template(raw)


def overlay(wanted: Template, current: Template) -> Overlay:
    """`wanted` with the secret files of `current` (D15).

    A reference is taken from `current` unless its file is missing: that may be the very defect of the bad release. A
    secret that `wanted` does not know is added, because it may make an older one void; one that only `wanted` has is
    kept, and said.
    """
    body, todays = json.loads(wanted.body), json.loads(current.body)["secrets"]
    former: dict[str, str] = body["secrets"]
    merged, notes = dict(former), []
    for name, path in sorted(todays.items()):
        before = former.get(name)
        if before == path:
            continue
        if not Path(path).is_file():
            notes.append(f"secret {name}: kept {before!r}; today's {path!r} does not exist")
            continue
        merged[name] = path
        notes.append(f"secret {name}: {before!r} → {path!r}, today's reference")
    notes += [
        f"secret {name}: kept {path!r}; today's release has no such secret"
        for name, path in sorted(former.items())
        if name not in todays
    ]
    return Overlay(read_template({**body, "secrets": merged}), tuple(notes))


def why_not_runnable(template: Template) -> str:
    """Why the template cannot start, as far as files tell; "" when nothing speaks against it.

    Secret files do not count: a template of the past is started with those of today.
    """
    raw = json.loads(template.body)
    program, *arguments = raw["command"]
    if shutil.which(program) is None:
        return f"the program {program!r} does not exist or cannot be executed"
    script = next((a for a in arguments if not a.startswith("-")), "")
    if _INTERPRETER.fullmatch(Path(program).name) and script.startswith("/") and not Path(script).exists():
        return f"the program file {script!r} does not exist"
    return ""


def _text(value: object) -> bool:
    """Whether it can be an argument or a variable of a process: no NUL, no half of a surrogate pair."""
    if not isinstance(value, str) or "\0" in value:
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
