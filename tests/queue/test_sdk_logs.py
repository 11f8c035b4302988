from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from cloudscale.queue import sdk_logs
from cloudscale.queue.sdk_logs import QUIET_SECONDS, SdkLogs, forward_sdk_logs, readable

if TYPE_CHECKING:
    from collections.abc import Iterator

ACCIDENT = AttributeError("'NoneType' object has no attribute 'create_receiver_link'")


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sdk(clock: Clock) -> Iterator[logging.Logger]:
    """A logger of the SDK."""
    logger = logging.getLogger("test.sdk")
    with handled_by(logger, SdkLogs(clock)):
        yield logger


@contextmanager
def handled_by(logger: logging.Logger, handler: logging.Handler) -> Iterator[None]:
    logger.addHandler(handler)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.propagate = True


def log_exception(logger: logging.Logger, error: Exception) -> None:
    """Log an error as the SDK does."""
    try:
        raise error
    except type(error) as raised:
        logger.exception("Unexpected error occurred (%r). Handler shutting down.", raised)  # noqa: TRY401 - as the SDK


def ours(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """What a reader of the log sees."""
    return [record for record in caplog.records if record.name == sdk_logs.__name__]


def test_a_link_that_broke_is_said_once_without_a_traceback_and_with_what_comes_next(
    sdk: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(5):
        log_exception(sdk, ACCIDENT)
        sdk.error("Link state change callback failed: '%r'", ACCIDENT)

    (record,) = ours(caplog)
    assert (record.levelno, record.exc_info) == (logging.WARNING, None)
    assert record.getMessage().endswith("it is opened again, and what was not settled is delivered again")


def test_the_next_outage_is_said_again(sdk: logging.Logger, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    log_exception(sdk, ACCIDENT)
    clock.now += QUIET_SECONDS
    log_exception(sdk, ACCIDENT)

    assert len(ours(caplog)) == 2


def test_a_real_error_keeps_its_level_text_and_traceback(sdk: logging.Logger, caplog: pytest.LogCaptureFixture) -> None:
    log_exception(sdk, ZeroDivisionError("a mistake"))
    log_exception(sdk, ZeroDivisionError("a mistake"))
    sdk.warning("Connection closed with error: %r", "amqp:connection:forced")
    sdk.info("Link state changed")

    mistake, closed = ours(caplog)
    assert (mistake.levelno, closed.levelno) == (logging.ERROR, logging.WARNING)
    assert mistake.exc_info is not None
    assert "ZeroDivisionError('a mistake')" in mistake.getMessage()
    assert closed.getMessage() == "Connection closed with error: 'amqp:connection:forced'"


def test_an_error_that_names_the_accident_names_its_cause_instead() -> None:
    assert readable(f"Handler failed: {ACCIDENT}.") == "the connection to the broker broke"
    assert readable("the queue is full") == "the queue is full"


def test_the_sdk_is_spoken_for_once_however_many_clients_there_are() -> None:
    logger = logging.getLogger("azure.servicebus")
    before, propagated = list(logger.handlers), logger.propagate
    try:
        forward_sdk_logs()
        forward_sdk_logs()
        assert sum(isinstance(handler, SdkLogs) for handler in logger.handlers) == 1
        assert not logger.propagate
    finally:
        logger.handlers[:], logger.propagate = before, propagated
