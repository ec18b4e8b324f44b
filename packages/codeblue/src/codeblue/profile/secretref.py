"""Where a secret is found. The profile holds only this reference, never the value (house rule 7)."""

import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from codeblue.model.errors import UsageError
from codeblue.model.secret import Secret
from codeblue.profile.refusal import refusal
from codeblue.profile.text import EnvName, FilePath

_MAX_BYTES: Final = 64 * 1024
_REMEDY: Final = "write a reference, {env: NAME} or {file: PATH}, and keep the value outside this file"


class SecretRef(BaseModel):
    """A reference to a secret: an environment variable or a file, exactly one of them.

    Attributes:
        env: name of an environment variable.
        file: path of a file that holds the secret and nothing else; a trailing line end is not part of it.
    """

    model_config = ConfigDict(
        strict=True,
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,
        json_schema_extra={"oneOf": [{"required": ["env"]}, {"required": ["file"]}]},
    )

    env: EnvName | None = Field(default=None, description="Name of the environment variable that holds the secret.")
    file: FilePath | None = Field(
        default=None, description="File that holds the secret and nothing else; others must not be able to read it."
    )

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.env is None) == (self.file is None):
            raise refusal("names not exactly one place for the secret", "write either {env: NAME} or {file: PATH}")
        return self

    def resolve(self, what: str = "the secret") -> Secret:
        """The secret itself, read at this moment.

        Args:
            what: how messages call it, for example "state.database".

        Raises:
            UsageError: the variable or file is missing, empty, readable by others or not text. It is never "".
        """
        value = self._from_env(what) if self.env is not None else self._from_file(what)
        if not value.strip() or "\0" in value:
            place = f"the environment variable {self.env}" if self.env is not None else f"the file {self.file}"
            raise UsageError(f"{what}: {place} is empty or not a text", remedy="put the secret there and try again")
        return Secret(value)

    def _from_env(self, what: str) -> str:
        value = os.environ.get(self.env or "")
        if value is None:
            raise UsageError(
                f"{what}: the environment variable {self.env} is not set", remedy=f"set {self.env} and try again"
            )
        return value

    def _from_file(self, what: str) -> str:
        path = self.file or Path()
        try:
            # O_NONBLOCK: a named pipe in the place of the file must not hold an emergency up.
            handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise UsageError(
                f"{what}: the file {path} cannot be read: {error.strerror}",
                remedy="create the file with the secret in it, readable by the user that runs Code Blue",
            ) from None
        mode = os.fstat(handle).st_mode
        if not stat.S_ISREG(mode):
            os.close(handle)
            raise UsageError(f"{what}: {path} is not a regular file", remedy="name a file that holds the secret")
        with os.fdopen(handle, "rb") as stream:
            if mode & stat.S_IRWXO:
                raise UsageError(
                    f"{what}: the file {path} can be used by every user of this machine",
                    remedy=f"chmod o-rwx {path} (for a mounted Kubernetes Secret: defaultMode: 0440 and an fsGroup)",
                )
            raw = stream.read(_MAX_BYTES + 1)
        if len(raw) > _MAX_BYTES:
            raise UsageError(f"{what}: the file {path} is larger than 64 KiB", remedy="keep only the secret in it")
        try:
            return raw.decode("utf-8").rstrip("\r\n")
        except UnicodeDecodeError:
            raise UsageError(f"{what}: the file {path} is not UTF-8 text", remedy="store the secret as text") from None


def _only_reference(value: Any) -> Any:
    if not isinstance(value, (dict, SecretRef)):
        raise refusal("is a literal value, but secrets do not belong in this file", _REMEDY, quiet=True)
    return value


#: The type of a profile's field: a literal value is refused, and not shown.
SecretReference = Annotated[SecretRef, BeforeValidator(_only_reference, json_schema_input_type=SecretRef)]


def references(section: BaseModel, at: str = "") -> Iterator[tuple[str, SecretRef]]:
    """Every reference to a secret in a profile, with its key ("pages.slack.token")."""
    for name in type(section).model_fields:
        yield from _within(getattr(section, name), f"{at}{name}")


def _within(value: object, at: str) -> Iterator[tuple[str, SecretRef]]:
    match value:
        case SecretRef():
            yield at, value
        case BaseModel():
            yield from references(value, f"{at}.")
        case Mapping():
            for key, item in value.items():
                yield from _within(item, f"{at}.{key}")
