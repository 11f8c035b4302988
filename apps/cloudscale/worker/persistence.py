"""Calls to the store that are tried again: with growing waits, a circuit breaker, and patience while the store is away.

An outage of the store must never cost an event: a call is repeated for as long as the store is away, with the messages
locked meanwhile, and only an event that fails while the store takes others is given up.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

import structlog
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception_type,
    stop_after_attempt,
    wait_exponential,
    wait_random,
)

from cloudscale.circuit_breaker import CircuitBreaker, CircuitOpenError
from cloudscale.errors import BackendUnavailableError, CloudScaleError, CredentialError, ThrottledError
from cloudscale.store.errors import RequestRefusedError
from cloudscale.telemetry import metrics
from cloudscale.units import parse_duration

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from cloudscale import pipeline

log = structlog.get_logger(__name__)

T = TypeVar("T")

OUTAGE = (BackendUnavailableError, CredentialError)
"""What blames the store and not what was asked of it."""

LOOK_SECONDS = 1.0
"""How often a call that waits for the breaker looks whether another call has closed it."""


class InterruptedByStopError(CloudScaleError):
    """The worker is to stop, so a call that waits for the store is given up; its messages go back to the queue."""


class Persistence:
    """Repeats calls to the store as the resource's ``retries`` and ``circuitBreaker`` say.

    Args:
        retries: how often and how far apart.
        breaker: shared by all calls to the store.
        stopping: set when the worker is to stop; waits end with :class:`InterruptedByStopError` then.
    """

    def __init__(self, retries: pipeline.Retries, *, breaker: CircuitBreaker, stopping: asyncio.Event) -> None:
        self.tries = 1 + retries.attempts
        self.retried = 0
        self._breaker = breaker
        self._stopping = stopping
        initial = parse_duration(retries.initial_delay).total_seconds()
        self._retrying = AsyncRetrying(
            stop=stop_after_attempt(self.tries),
            wait=wait_exponential(multiplier=initial, exp_base=retries.factor) + wait_random(0, initial / 4),
            retry=retry_if_exception_type(OUTAGE),
            sleep=self.pause,
            before_sleep=self._count,
            reraise=True,
        )

    async def attempt(self, call: Callable[[], Awaitable[T]]) -> T:
        """Make the call, again after each failure of the store, as often as the resource says.

        A 429 and an open circuit are waited for and do not use up a try.

        Raises:
            RequestRefusedError: the store refuses what is asked; it is not tried again.
            BackendUnavailableError, CredentialError: the last try failed too.
            InterruptedByStopError: the worker is to stop.
        """
        return await self._retrying.copy()(self._once, call)

    async def insist(self, call: Callable[[], Awaitable[T]]) -> T:
        """Make the call until the store takes or refuses it.

        Raises:
            RequestRefusedError: the store refuses what is asked.
            InterruptedByStopError: the worker is to stop.
        """
        while True:
            try:
                return await self.attempt(call)
            except OUTAGE as error:
                log.warning("the store is away, holding on", error=str(error))
                await self.pause(LOOK_SECONDS)

    async def pause(self, seconds: float) -> None:
        """Wait.

        Raises:
            InterruptedByStopError: the worker is to stop.
        """
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except TimeoutError:
            return
        raise InterruptedByStopError("the worker stops while the store is away")

    async def _once(self, call: Callable[[], Awaitable[T]]) -> T:
        while True:
            try:
                self._breaker.before_call()
                result = await call()
            except CircuitOpenError as error:
                await self.pause(min(error.retry_after_seconds, LOOK_SECONDS))
            except ThrottledError as error:
                self._breaker.record_success()
                self._count()
                await self.pause(error.retry_after_seconds)
            except RequestRefusedError:
                self._breaker.record_success()
                raise
            except OUTAGE as error:
                self._breaker.record_failure(error)
                raise
            else:
                self._breaker.record_success()
                return result

    def _count(self, _state: RetryCallState | None = None) -> None:
        self.retried += 1
        metrics.RETRIES.labels("store").inc()
