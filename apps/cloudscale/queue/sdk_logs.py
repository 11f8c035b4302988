"""What the Service Bus SDK has to say, each thing once and in words that help.

When the broker goes away, the SDK trips over its own half-closed links and logs that with a traceback for each link and
message, as ``'NoneType' object has no attribute 'create_receiver_link'``. The error itself reaches the caller, who
deals with it, so the log only needs to say what happened and what comes next. Everything else that the SDK warns of is
kept, repetitions within half a minute apart.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

QUIET_SECONDS = 30.0

_SDK = "azure.servicebus"
_BROKEN_LINK = "'NoneType' object has no attribute"
_CONNECTION_BROKE = "the connection to the broker broke"

log = logging.getLogger(__name__)


def is_broken_link(error: BaseException) -> bool:
    """Whether the SDK has tripped over a link that the broker's end has cut."""
    return isinstance(error, AttributeError) and _BROKEN_LINK in str(error)


def readable(text: str) -> str:
    """What the SDK says, with its own accident replaced by the cause."""
    return _CONNECTION_BROKE if _BROKEN_LINK in text else text


class SdkLogs(logging.Handler):
    """Passes the SDK's records on to this project's log. ``clock`` is in seconds and never goes back."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(logging.WARNING)
        self._clock = clock
        self._quiet_until: dict[str, float] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Say what the record says, unless that was said just now."""
        text, level, error = record.getMessage(), record.levelno, record.exc_info
        if _BROKEN_LINK in text or (error and error[1] and is_broken_link(error[1])):
            text = f"{_CONNECTION_BROKE}: it is opened again, and what was not settled is delivered again"
            level, error = logging.WARNING, None
        now = self._clock()
        if self._quiet_until.get(text, now) > now:
            return
        self._quiet_until = {said: until for said, until in self._quiet_until.items() if until > now}
        self._quiet_until[text] = now + QUIET_SECONDS
        log.log(level, "%s", text, exc_info=error)


def forward_sdk_logs() -> None:
    """Let the SDK's records pass through :class:`SdkLogs` from now on."""
    logger = logging.getLogger(_SDK)
    if not any(isinstance(handler, SdkLogs) for handler in logger.handlers):
        logger.addHandler(SdkLogs())
        logger.propagate = False
