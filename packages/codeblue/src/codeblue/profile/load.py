"""`codeblue.yaml` → `Profile`, or every problem of the file at once, each with its line and its remedy (R1c).

Never a traceback, never the value of a secret, never a long wait: size, depth and number of values are bounded.
"""

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from codeblue.model.errors import UsageError
from codeblue.profile.explain import dotted, explain, path_of
from codeblue.profile.model import Profile
from codeblue.profile.source import MAX_BYTES, REFUSED, Flaw, KeyPath, Tree, Unreadable, decode, read

_MAX_SHOWN: Final = 100
_MAX_SUGGESTED: Final = 50
#: The first profiles of README and docs/profile.md; they come with the package.
_EXAMPLES: Final = Path(__file__).with_name("examples")


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a profile.

    Attributes:
        line, column: the place, from 1; both 0 where the file could not be read at all.
        path: dotted keys, "" for the whole file.
        message: what is wrong.
        remedy: what to write instead.
    """

    line: int
    column: int
    path: str
    message: str
    remedy: str

    def where_and_what(self, name: str) -> str:
        """The problem without its remedy."""
        place = f"{name}:{self.line}:{self.column}" if self.line else name
        path = f" {self.path}:" if self.path else ""
        return f"{place}:{path} {self.message}."

    def text(self, name: str) -> str:
        """The problem in one line, as editors and people look for it: `codeblue.yaml:4:3: key: … Remedy: …`."""
        return f"{self.where_and_what(name)} Remedy: {self.remedy}."


class ProfileError(UsageError):
    """The profile is wrong; nothing was touched. `str()` has all problems, one a line.

    Attributes:
        name: the file, as it was asked for.
        problems: all of them, in the order of the file.
    """

    def __init__(self, name: str, problems: tuple[Problem, ...]) -> None:
        shown = "".join(char if char.isprintable() else "�" for char in name)[-200:]
        lines = [problem.text(shown) for problem in problems[:_MAX_SHOWN]]
        if len(problems) > _MAX_SHOWN:
            lines.append(f"{shown}: and {len(problems) - _MAX_SHOWN} more problems")
        super().__init__("\n".join(lines))
        self.name = name
        self.problems = problems
        self._shown = shown

    def plain(self) -> dict[str, Any]:
        """Each problem with its place and its remedy, so that no program has to take lines apart."""
        message = f"{self._shown}: {len(self.problems)} problems, each with its remedy."
        remedy = "Mend each of them."
        if len(self.problems) == 1:
            message, remedy = self.problems[0].where_and_what(self._shown), f"{self.problems[0].remedy}."
        found = [
            {"line": p.line, "column": p.column, "key": p.path, "message": p.message, "remedy": p.remedy}
            for p in self.problems[:_MAX_SHOWN]
        ]
        return {"message": message, "remedy": remedy, "problems": found, "problems_count": len(self.problems)}


def load(path: Path) -> Profile:
    """The profile in a file.

    Args:
        path: the file; relative paths in the profile start at its directory.

    Raises:
        ProfileError: it cannot be read, or something in it is wrong; with all problems.
    """
    return _validated(_bytes(path), str(path), path.parent)


def load_text(text: str, name: str = "codeblue.yaml", *, base: Path | None = None) -> Profile:
    """The profile in a text.

    Args:
        text: YAML.
        name: how problems call it.
        base: where relative paths start; the directory of `name` by default.

    Raises:
        ProfileError: something in it is wrong; with all problems.
    """
    return _validated(text.encode("utf-8", "surrogatepass"), name, Path(name).parent if base is None else base)


def _bytes(path: Path) -> bytes:
    name = str(path)
    try:
        # O_NONBLOCK: a named pipe in the place of the file must not hold an emergency up.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        mode = os.fstat(handle).st_mode
        if stat.S_ISREG(mode):
            with os.fdopen(handle, "rb") as stream:
                return stream.read(MAX_BYTES + 1)
        os.close(handle)
        message = "is a directory" if stat.S_ISDIR(mode) else "is not a regular file"
        remedy = "name the file codeblue.yaml itself with --profile FILE"
    except FileNotFoundError:
        message = "does not exist"
        remedy = (
            f"copy {_EXAMPLES / 'kubernetes.yaml'} (or local.yaml beside it) there, put your names in and try it with "
            "`codeblue check`; or name another with --profile FILE"
        )
    except PermissionError:
        message, remedy = "may not be read by this user", "give this user the right to read it (chmod u+r)"
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        message = f"cannot be read: {getattr(error, 'strerror', None) or 'not a file name'}"
        remedy = "name another file with --profile FILE"
    raise _no_file(name, message, remedy)


def _no_file(name: str, message: str, remedy: str) -> ProfileError:
    return ProfileError(name, (Problem(0, 0, "", message, remedy),))


def _validated(raw: bytes, name: str, base: Path) -> Profile:
    try:
        tree = read(decode(raw))
    except Unreadable as unreadable:
        problems = [_problem(unreadable.flaw)]
    else:
        found = _profile(tree, {"base": base})
        if isinstance(found, Profile) and not tree.flaws:
            return found
        problems = [_problem(flaw) for flaw in tree.flaws]
        problems += found if isinstance(found, list) else []
    # Raised outside of the handlers: pydantic's error holds the values, and must not hang on ours as its context.
    raise ProfileError(name, tuple(sorted(set(problems), key=lambda p: (p.line, p.column, p.path, p.message))))


def _problem(flaw: Flaw) -> Problem:
    return Problem(flaw.place.line, flaw.place.column, dotted(flaw.path), flaw.message, flaw.remedy)


def _profile(tree: Tree, context: dict[str, Any]) -> Profile | list[Problem]:
    """The profile, or what the model has against it apart from what the text has against it already."""
    try:
        return Profile.model_validate(tree.value, context=context)
    except ValidationError as error:
        details = error.errors(include_url=False)
    problems = []
    for number, detail in enumerate(details):
        path = path_of(detail)
        if (
            detail["type"] != "extra_forbidden"
            and detail["loc"][-1:] != ("[key]",)
            and _at(tree.value, path) is REFUSED
        ):
            continue
        about_key = detail["type"] == "extra_forbidden" or detail["loc"][-1:] == ("[key]",)
        place = (tree.keys.get(path) if about_key else None) or tree.place(path)
        given = path[-1] if about_key else _at(tree.value, path)
        message, remedy = explain(detail, tree.value, given, suggest=number < _MAX_SUGGESTED)
        problems.append(Problem(place.line, place.column, dotted(path), message, remedy))
    return problems


def _at(value: Any, path: KeyPath) -> Any:
    """The value at a path, or the first refused one on the way there."""
    for part in path:
        if isinstance(value, dict):
            value = value.get(part)
        elif isinstance(value, tuple) and part.isdigit() and int(part) < len(value):
            value = value[int(part)]
        else:
            return value
    return value
