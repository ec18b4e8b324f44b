"""Kinds of text in a profile: names as Kubernetes takes them, URL paths, file paths; placeholders are none of them."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import urlsplit

from pydantic import BeforeValidator, ValidationInfo, WithJsonSchema

from codeblue.profile.refusal import refusal

_LABEL: Final = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
_ENV: Final = r"[A-Z_][A-Z0-9_]{0,127}"
_PORT_NAME: Final = r"(?=[a-z0-9-]*[a-z])[a-z0-9](-?[a-z0-9]){0,14}"
_URL_PATH: Final = r"/([A-Za-z0-9._~!$&'()*+,;=:@%?-][A-Za-z0-9._~!$&'()*+,;=:@%/?-]{0,500})?"

_MAX_LENGTH: Final = 1024

#: Texts that a template leaves behind. Whole-text words, and marks anywhere in the text (R2).
_PLACEHOLDER_WORDS: Final = frozenset(
    [
        "todo",
        "tbd",
        "tba",
        "fixme",
        "changeme",
        "change-me",
        "change_me",
        "replaceme",
        "replace-me",
        "replace_me",
        "placeholder",
        "none",
        "null",
        "n/a",
        "na",
        "undefined",
        "xxx",
        "xxxx",
        "your-name",
        "yourname",
        "name",
        "example",
    ]
)
_PLACEHOLDER_MARKS: Final = re.compile(
    r"\[[^\[\]]{0,80}\]|<[^<>]{0,80}>|\{\{|\$\{|\bTODO\b|\bTBD\b|\bFIXME\b|\bCHANGE_?ME\b|X{3,}|\.\.\.|…"
)


def is_placeholder(text: str) -> bool:
    """Whether a text is what a template leaves for somebody to fill in: "TODO", "[name]", "<phone>", "XXX"."""
    return text.strip().lower() in _PLACEHOLDER_WORDS or _PLACEHOLDER_MARKS.search(text) is not None


_SECRET_VALUE: Final = re.compile(
    r"://[^/\s]*@|hooks\.slack|\bxox[a-z]-|\bAKIA|\beyJ|-----BEGIN|\bgh[a-z]_|\bsk-|password|secret|token"
    r"|(?=[A-Za-z+/=_]*[0-9])(?=[0-9+/=_]*[A-Za-z])[A-Za-z0-9+/=_]{20,}",
    re.IGNORECASE,
)


def looks_secret(text: str) -> bool:
    """Whether a text might hold a secret and so is never shown: credentials in a URL, tokens, long random words."""
    return len(text) > 300 or _SECRET_VALUE.search(text) is not None


def plain(value: object, what: str, example: str) -> str:
    """`value` as one line of text that is no placeholder.

    Args:
        what: the kind of text, for the message ("a kubectl context").
        example: a value that would do.

    Raises:
        PydanticCustomError: for a number, a switch, an empty or padded text, more than one line, a placeholder.
    """
    if not isinstance(value, str):
        raise refusal(f"is not text, but {what} is expected", f'write {what} in quotes, for example "{example}"')
    if not value.strip():
        raise refusal("is empty", f'write {what}, for example "{example}", or delete the key')
    if len(value) > _MAX_LENGTH:
        raise refusal(f"is longer than {_MAX_LENGTH} characters", f"write {what}, for example {example}")
    if value != value.strip() or not value.isprintable():
        raise refusal(f"has blanks around it or characters that cannot be printed, {what} has none", "delete them")
    if is_placeholder(value):
        raise refusal("is a placeholder", f'write {what}, for example "{example}"')
    return value


def _matching(pattern: str, what: str, example: str, rule: str) -> Callable[[object], str]:
    compiled = re.compile(pattern, re.ASCII)

    def check(value: object) -> str:
        text = plain(value, what, example)
        if compiled.fullmatch(text):
            return text
        better = re.sub(r"[^a-z0-9.-]+", "-", text.lower()).strip("-.")
        if not looks_secret(text) and text != text.lower() and len(better) <= 60 and compiled.fullmatch(better):
            raise refusal(f"is not {what}: {rule}; upper case is refused", f"write {better}")
        raise refusal(f"is not {what}: {rule}", f"write {what}, for example {example}")

    return check


def _text(pattern: str, what: str, example: str, rule: str) -> tuple[BeforeValidator, WithJsonSchema]:
    return (
        BeforeValidator(_matching(pattern, what, example, rule)),
        WithJsonSchema({"type": "string", "pattern": f"^{pattern}$", "examples": [example]}),
    )


_DNS = "lower-case letters, digits and '-', a letter or digit at both ends"

#: RFC 1123 label: names of namespaces (D1), containers, services; safe as a file name.
Label = Annotated[str, *_text(_LABEL, "an RFC 1123 label", "ai-diagnostics-prod", f"at most 63 characters, {_DNS}")]
#: RFC 1123 subdomain: names of Deployments.
Subdomain = Annotated[
    str,
    *_text(
        rf"(?=.{{1,253}}$){_LABEL}(\.{_LABEL})*",
        "an RFC 1123 subdomain",
        "ai-diagnostics-api",
        f"at most 253 characters, {_DNS}, parts joined by '.'",
    ),
]
#: Name of an environment variable. Upper case, so that a token pasted by mistake is not taken for a name.
EnvName = Annotated[
    str,
    *_text(_ENV, "the name of an environment variable", "RELEASE_VERSION", "upper-case letters, digits and '_'"),
]
#: Path of an HTTP endpoint.
UrlPath = Annotated[
    str,
    *_text(_URL_PATH, "the path of an endpoint", "/api/health", "it begins with one '/', without host, blanks or '#'"),
]
#: A name in JSON answers and flags.
Name = Annotated[
    str,
    *_text(
        r"[A-Za-z_][A-Za-z0-9_.-]{0,99}", "a name", "version", "letters, digits, '_', '.', '-', a letter at the start"
    ),
]


def _context(value: object) -> str:
    text = plain(value, "the name of a kubeconfig context", "prod-eu")
    if len(text) > 253:
        raise refusal("is longer than 253 characters", "write the name that `kubectl config get-contexts` shows")
    return text


#: Name of a kubeconfig context. Required: never "whatever is current" (D55).
Context = Annotated[str, BeforeValidator(_context), WithJsonSchema({"type": "string", "minLength": 1})]


def _port(value: object) -> int | str:
    remedy = "write its number (1 to 65535) or its name, for example 5000 or http"
    if isinstance(value, int) and not isinstance(value, bool):
        if 1 <= value <= 65535:
            return value
        raise refusal("is not a port number", remedy)
    if isinstance(value, str) and re.fullmatch(_PORT_NAME, value, re.ASCII) and len(value) <= 15:
        return value
    raise refusal("is not the port of a Service", remedy)


#: Number or name of a Service's port.
Port = Annotated[
    int | str,
    BeforeValidator(_port),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 1, "maximum": 65535},
                {"type": "string", "pattern": f"^{_PORT_NAME}$"},
            ]
        }
    ),
]


def _url(value: object) -> str:
    example = "https://ai-diagnostics.hospital.org"
    text = plain(value, "an http(s) URL", example)
    remedy = f"write an http(s) URL with a host, for example {example}"
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise refusal("is not a URL", remedy) from None
    if parts.username is not None or parts.password is not None:
        raise refusal("holds a user or password", "write the URL without user and password", quiet=True)
    if parts.scheme not in ("http", "https") or not host or " " in text or len(text) > 2000:
        raise refusal("is not an http(s) URL", remedy)
    if parts.query or parts.fragment:
        raise refusal("has a query or fragment", "write the URL up to the host or path only", quiet=True)
    return text


#: Address of the service, without user or password.
HttpUrl = Annotated[str, BeforeValidator(_url), WithJsonSchema({"type": "string", "pattern": "^https?://[^@ ]+$"})]


def _path(value: object, info: ValidationInfo) -> Path:
    text = plain(str(value) if isinstance(value, Path) else value, "a path", "./incidents")
    if "://" in text:
        raise refusal("is a URL, but a path on this machine is expected", "write a path", quiet=True)
    expanded = os.path.expanduser(text)  # noqa: PTH111  (Path.expanduser raises where there is no home)
    if expanded.startswith("~"):
        raise refusal("begins with '~', but that home directory is unknown here", "write the path from the root '/'")
    base = (info.context or {}).get("base", Path())
    return Path(base).absolute() / expanded


#: Path on this machine: `~` is expanded, a relative path starts at the profile's directory.
FilePath = Annotated[Path, BeforeValidator(_path), WithJsonSchema({"type": "string", "minLength": 1})]
