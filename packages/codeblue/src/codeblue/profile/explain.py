"""pydantic's errors → what is wrong with the file and what to write instead, with no value that might be a secret."""

import difflib
import re
from collections.abc import Mapping
from types import UnionType
from typing import Annotated, Any, Final, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from codeblue.profile.model import Profile
from codeblue.profile.platform import Kubernetes, Local
from codeblue.profile.refusal import KIND
from codeblue.profile.source import KeyPath
from codeblue.profile.text import looks_secret
from codeblue.profile.units import show_duration

_MAX_SHOWN: Final = 60
_SECRET_KEY: Final = re.compile(
    r"secret|token|pass|pwd|key|webhook|credential|database|dsn|auth|private|cert|^pages$", re.IGNORECASE
)
#: Words that make a key a secret's key, but its name no secret.
_SECRET_WORD: Final = re.compile(r"secret|token|password", re.IGNORECASE)
_KEY: Final = re.compile(r"[A-Za-z0-9_.-]{1,40}", re.ASCII)
_PLATFORMS: Final[Mapping[str, type[BaseModel]]] = {"kubernetes": Kubernetes, "local": Local}
_DURATION_END: Final = ("s", "m", "h", "d")


def path_of(error: ErrorDetails) -> KeyPath:
    """The keys that an error is about: pydantic's own location, without its marks for unions and keys."""
    loc = [str(part) for part in error["loc"] if part != "[key]"]
    if len(loc) > 1 and loc[0] == "platform" and loc[1] in _PLATFORMS:
        del loc[1]
    below = error.get("ctx", {}).get("at", ()) if error["type"] == KIND else ()
    return (*loc, *below)


def dotted(path: KeyPath) -> str:
    """A path as messages show it: `contract.commands.smoke[0]`. A key that is no plain word is not shown."""
    text = ""
    for part in path:
        if part.isdigit() and text:
            text += f"[{part}]"
        else:
            text += ("." if text else "") + (part if _is_plain_key(part) else "(a key)")
    return text


def _is_plain_key(key: str) -> bool:
    return _KEY.fullmatch(key) is not None and not looks_secret(_SECRET_WORD.sub("", key))


def _shown(path: KeyPath, value: object) -> str:
    """The value in brackets where it helps and may be seen, else nothing."""
    if not isinstance(value, (str, int, float)) or any(_SECRET_KEY.search(key) for key in path):
        return ""
    text = str(value).lower() if isinstance(value, bool) else str(value)
    if looks_secret(text) or not text.strip() or not text.isprintable():
        return ""
    if len(text) > _MAX_SHOWN:
        text = text[: _MAX_SHOWN - 1] + "…"
    return f" (here: {text})"


def explain(error: ErrorDetails, value: object, given: object, *, suggest: bool = True) -> tuple[str, str]:
    """The message and the remedy of one of pydantic's errors.

    Args:
        error: as pydantic lists it.
        value: the whole tree, to tell the kind of the platform.
        given: what the file has at the place of the error.
        suggest: look for the key that was meant (takes about a millisecond).
    """
    path, kind, context = path_of(error), error["type"], error.get("ctx", {})
    shown = _shown(path, given)
    match kind:
        case "codeblue":
            return context["message"] + ("" if context["quiet"] else shown), context["remedy"]
        case "extra_forbidden":
            return "unknown key", _meant(path, value) if suggest else "delete it"
        case "missing":
            return "is missing", _wanted(path, value)
        case "union_tag_not_found":
            return "has no kind", "add kind: kubernetes or kind: local"
        case "union_tag_invalid":
            return "has an unknown kind", "write kind: kubernetes or kind: local"
        case "literal_error":
            return f"is not one of the possible values{shown}", f"write {context['expected'].replace(chr(39), '')}"
        case "model_type" | "dict_type" | "model_attributes_type":
            if path:
                return "is not a section of keys", "put its keys below it, indented: key: value"
            return "the file is not a mapping of keys", "begin with version: 1, service: and platform:"
        case "bool_type":
            return f"is not a switch{shown}", "write true or false"
        case "int_type" | "int_from_float":
            return f"is not a whole number{shown}", "write a whole number without quotes"
        case "greater_than_equal":
            return f"is too small{shown}", f"write at least {_bound(context['ge'], given)}"
        case "less_than_equal":
            return f"is too large{shown}", f"write at most {_bound(context['le'], given)}"
        case _:
            return "is not what is expected here", "compare it with docs/profile.md"


def _bound(limit: float, given: object) -> str:
    return show_duration(limit) if isinstance(given, str) and given.endswith(_DURATION_END) else f"{limit:g}"


def _section(path: KeyPath, value: object) -> type[BaseModel] | None:
    """The model of the section at `path`; None for mappings of free names and for scalars."""
    model: type[BaseModel] = Profile
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
        if key not in model.model_fields:
            return None
        if key == "platform":
            kind = value.get("kind") if isinstance(value, dict) else None
            found = _PLATFORMS.get(kind) if isinstance(kind, str) else None
        else:
            found = _model_in(model.model_fields[key].annotation)
        if found is None:
            return None
        model = found
    return model


def _model_in(annotation: object) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) in (Annotated, Union, UnionType):
        return next((model for part in get_args(annotation) if (model := _model_in(part))), None)
    return None


def _all_keys() -> dict[str, str]:
    """Every key of a profile with the path of the section it belongs to."""
    places: dict[str, str] = {}

    def walk(model: type[BaseModel], path: str) -> None:
        for name, info in model.model_fields.items():
            places.setdefault(name, path)
            if below := _model_in(info.annotation):
                walk(below, f"{path}.{name}".strip("."))

    walk(Profile, "")
    walk(Local, "platform")
    return places


def _meant(path: KeyPath, value: object) -> str:
    """The remedy for an unknown key: the closest key here, or the section that has it, or the keys there are."""
    section = _section(path[:-1], value)
    known = list(section.model_fields) if section else []
    key = path[-1][:40]
    if near := difflib.get_close_matches(key.lower().replace("-", "_"), known, n=1, cutoff=0.6):
        return f"write {near[0]}"
    elsewhere = _all_keys().get(key)
    if elsewhere is not None and elsewhere != ".".join(path[:-1]):
        return f"{key} belongs to {elsewhere or 'the top level'}; move it there or delete it"
    return f"delete it, or write one of {', '.join(known)}" if known else "delete it"


def _wanted(path: KeyPath, value: object) -> str:
    section = _section(path[:-1], value)
    info: FieldInfo | None = section.model_fields.get(path[-1]) if section else None
    example: Any = info.examples[0] if info is not None and info.examples else "…"
    if path == ("platform",):
        return "add a section platform: with kind: kubernetes or kind: local"
    why = f" ({info.description.rstrip('.')})" if info is not None and info.description else ""
    return f"add {path[-1]}: {example}{why}"
