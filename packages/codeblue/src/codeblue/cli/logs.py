"""The diagnostics of `codeblue serve`: one JSON object a line on standard error, for machines that collect logs.

What the daemon has to say to people stands on standard output, one sentence for each cycle; nothing is said twice.
"""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

from codeblue.model.secret import masked

#: Of one text in a line: a defect's traceback at the most.
LONGEST = 8000


def log_as_json(level: int = logging.INFO) -> None:
    """From here on what our own modules and our libraries log goes to standard error, one JSON object a line."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                without_secrets,
                structlog.processors.JSONRenderer(ensure_ascii=False, default=str),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)  # of libraries
    logging.getLogger("codeblue").setLevel(level)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def without_secrets(_: Any, __: str, said: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """The second net (B9): our own lines hold no secret, and a library's could."""
    return {key: _masked(value) for key, value in said.items()}


def _masked(value: Any) -> Any:
    if isinstance(value, str):
        shown = "\n".join(masked(line) for line in value[:LONGEST].splitlines())
        return shown if len(value) <= LONGEST else f"{shown} …"
    if isinstance(value, bool | int | float) or value is None:
        return value
    if isinstance(value, dict):
        return {str(k): _masked(v) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_masked(v) for v in value]
    return _masked(str(value))
