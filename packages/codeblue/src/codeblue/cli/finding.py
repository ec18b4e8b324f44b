"""One line of a check."""

from dataclasses import dataclass

from codeblue.model.errors import ExitCode


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the check.

    Attributes:
        outcome: "ok", "no" (it is bad, or would fail now), "unknown", or "skipped" (needs what only a person names, or
            what the service does not offer).
        exit_code: what this finding alone would end the check with.
        lines: what `why` announces, one thing a line: the plan of a procedure.
    """

    what: str
    outcome: str
    why: str
    remedy: str = ""
    exit_code: ExitCode = ExitCode.DONE
    lines: tuple[str, ...] = ()
