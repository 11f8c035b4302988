"""Structured logs on stderr: JSON in pods, readable in a terminal, the same for our own lines and for libraries'.

:func:`bind` attaches the correlation id and the event id to every line that the current task writes. Payloads and
credentials have no place in a log: fields that carry one are dropped and secrets inside of texts are masked, wherever
the line comes from.
"""

from __future__ import annotations

import logging
import re
import sys
from typing import TYPE_CHECKING, Any, Literal

import structlog
from structlog.tracebacks import ExceptionDictTransformer

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping
    from contextlib import AbstractContextManager

    from structlog.typing import EventDict, Processor

Level = Literal["debug", "info", "warning", "error"]

WITHHELD = "[withheld]"
_WITHHELD_FIELDS = frozenset(
    {"body", "payload", "metadata", "properties", "document", "authorization", "cookie", "password", "token"}
    | {"connection_string", "redis_url", "shared_access_key", "account_key", "signature"}
)
_SECRETS = re.compile(
    r"(?i)((?:SharedAccessKey|AccountKey|SharedAccessSignature|\bsig|password|Bearer|api[_-]?key)\s*[=: ]\s*)"
    r"([^\s;&\"',]+)"
)
_URL_CREDENTIALS = re.compile(r"(\w+://[^\s:/@]*:)([^\s@/]+)(@)")

# These report every request or link at info level, some of them with headers.
_TALKATIVE = ("azure", "aiohttp.access", "asyncio", "kubernetes", "urllib3", "granian.access")


def configure(*, format: Literal["json", "console"], level: Level = "info") -> None:  # noqa: A002 - the setting's name
    """Send all logs of this process, structlog's and the standard library's, to stderr in one format."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    rendering: list[Processor]
    if format == "json":
        # Local variables hold payloads and connection strings, so a traceback is logged without them.
        structured = structlog.processors.ExceptionRenderer(ExceptionDictTransformer(show_locals=False))
        rendering = [structured, withhold, structlog.processors.JSONRenderer(default=str)]
    else:
        # The traceback becomes text first, so that secrets in it are masked as well.
        as_text = structlog.processors.format_exc_info
        rendering = [as_text, withhold, structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]

    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendering],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.captureWarnings(capture=True)


def bind(*, correlation_id: str | None = None, event_id: str | None = None) -> AbstractContextManager[None]:
    """Put the ids in every line that is logged inside of the ``with`` block, by this task and those it starts."""
    given = {"correlation_id": correlation_id, "event_id": event_id}
    return structlog.contextvars.bound_contextvars(**{name: value for name, value in given.items() if value})


def mask(text: str) -> str:
    """``text`` with keys, signatures and the passwords of URLs replaced."""
    return _URL_CREDENTIALS.sub(rf"\1{WITHHELD}\3", _SECRETS.sub(rf"\1{WITHHELD}", text))


def withhold(_logger: Any, _method: str, fields: MutableMapping[str, Any]) -> EventDict:
    """Drop payload and credential fields and mask secrets in all texts: the last processor before rendering."""
    return {name: WITHHELD if name.lower() in _WITHHELD_FIELDS else _masked(value) for name, value in fields.items()}


def _masked(value: Any) -> Any:
    match value:
        case str():
            return mask(value)
        case dict():
            return _masked_fields(value)
        case list() | tuple():
            return [_masked(item) for item in value]
        case _:
            return value


def _masked_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: WITHHELD if str(name).lower() in _WITHHELD_FIELDS else _masked(item) for name, item in fields.items()}
