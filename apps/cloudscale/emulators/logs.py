"""Where the emulators write their logs and what they tell whoever started them: a full disk costs lines, never more.

A log may lie on the disk whose trouble it reports. What cannot be written is dropped as a whole, so that no error
comes out of a log call and no half of a line is left for later.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Final, TextIO, cast

import structlog

if TYPE_CHECKING:
    from collections.abc import Sequence

    from structlog.typing import Processor

STANDARD_OUTPUT: Final = 1
STANDARD_ERROR: Final = 2


class _StandardError:
    """As much of a text file as structlog needs."""

    def write(self, text: str) -> None:
        """Write it, or drop it."""
        _write(STANDARD_ERROR, text)

    def flush(self) -> None:
        """Nothing is kept back."""


def configure(*, level: int, processors: Sequence[Processor] | None = None) -> None:
    """Send the log to stderr, rendered by ``processors`` or as people read it."""
    structlog.configure(
        processors=processors or _for_people(),
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(cast("TextIO", _StandardError())),
    )


def _for_people() -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso"),
        # Here, and not by the renderer, which prints the local variables as well: keys are among them.
        structlog.processors.format_exc_info,
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()),
    ]


def announce(line: str) -> None:
    """Write a line to stdout, for whoever started the process and waits for it."""
    _write(STANDARD_OUTPUT, line + "\n")


def _write(descriptor: int, text: str) -> None:
    with suppress(OSError):
        os.write(descriptor, text.encode(errors="backslashreplace"))
