"""The retry policy of calls to the store: growing waits, a circuit breaker, and a bound on how long messages are held.

An outage of the store must never cost an event. A call is repeated while its messages are locked, for some seconds;
when the store stays away the messages go back to the queue, uncounted, and are fetched again when it is back.
"""

from __future__ import annotations

import asyncio
import time
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
    from cloudscale.worker.concurrency_limiter import ConcurrencyLimiter

log = structlog.get_logger(__name__)

T = TypeVar("T")

OUTAGE = (BackendUnavailableError, CredentialError)
"""What blames the store and not what was asked of it."""

PROBE_SECONDS = 1.0
"""Between two checks whether the store is back, and whether another call has closed the breaker."""

LONGEST_PROBE_SECONDS = 5.0
"""Between two checks of a store that has been away for long."""

HOLD_SECONDS = 10.0
"""How long messages are held at the most while no call to the store succeeds."""

HOLD_SHARE_OF_LOCK = 1 / 3
"""Messages are held no longer than this share of their lock, since those fetched ahead have no one to renew theirs."""


class InterruptedByStopError(CloudScaleError):
    """The worker is to stop, so a call that waits for the store is given up; its messages go back to the queue."""


class StoreAwayError(CloudScaleError):
    """No call to the store has succeeded for so long that the messages are better off in the queue."""


class StoreRetryPolicy:
    """Repeats calls to the store as the resource's ``retries`` and ``circuitBreaker`` say.

    Args:
        retries: how often and how far apart.
        breaker: shared by all calls to the store.
        stopping: set when the worker is to stop; waits end with :class:`InterruptedByStopError` then.
        limiter: bounds the calls in flight; without one they are not bounded here.
        lock_seconds: how long the queue locks a message.
    """

    def __init__(
        self,
        retries: pipeline.Retries,
        *,
        breaker: CircuitBreaker,
        stopping: asyncio.Event,
        limiter: ConcurrencyLimiter,
        lock_seconds: float,
    ) -> None:
        self.tries = 1 + retries.attempts
        self._breaker = breaker
        self._stopping = stopping
        self._limiter = limiter
        self._hold_seconds = min(HOLD_SECONDS, HOLD_SHARE_OF_LOCK * lock_seconds)
        self._failing_since: float | None = None
        initial = parse_duration(retries.initial_delay).total_seconds()
        self._retrying = AsyncRetrying(
            stop=stop_after_attempt(self.tries),
            wait=wait_exponential(multiplier=initial, exp_base=retries.factor) + wait_random(0, initial / 4),
            retry=retry_if_exception_type(OUTAGE),
            sleep=self._hold,
            before_sleep=self._count,
            reraise=True,
        )

    async def attempt(self, call: Callable[[], Awaitable[T]]) -> T:
        """Make the call, again after each failure of the store, as often as the resource says.

        A 429 and an open circuit are waited for and do not use up a try.

        Raises:
            RequestRefusedError: the store refuses what is asked; it is not tried again.
            BackendUnavailableError, CredentialError: the last try failed too.
            StoreAwayError: no call has succeeded for some seconds.
            InterruptedByStopError: the worker is to stop.
        """
        return await self._retrying.copy()(self._once, call)

    async def call_until_answered(self, call: Callable[[], Awaitable[T]]) -> T:
        """Make the call until the store takes or refuses it.

        Raises:
            RequestRefusedError: the store refuses what is asked.
            StoreAwayError: no call has succeeded for some seconds.
            InterruptedByStopError: the worker is to stop.
        """
        while True:
            try:
                return await self.attempt(call)
            except OUTAGE as error:
                log.warning("the store is away, waiting to try again", error=str(error))
                await self.back_off()

    async def back_off(self) -> None:
        """Wait a moment before a call that failed is made again.

        Raises:
            StoreAwayError: no call has succeeded for some seconds.
            InterruptedByStopError: the worker is to stop.
        """
        await self._hold(PROBE_SECONDS)

    async def is_available(self, accepts_writes: Callable[[], Awaitable[bool]]) -> bool:
        """Whether the store takes other writes, after one has failed."""
        if not await accepts_writes():
            return False
        self._succeeded()
        return True

    async def wait_until_available(self, accepts_writes: Callable[[], Awaitable[bool]]) -> None:
        """Wait, holding nothing, until the store takes writes again.

        Raises:
            InterruptedByStopError: the worker is to stop.
        """
        seconds = PROBE_SECONDS
        while True:
            await self.pause(seconds)
            seconds = min(2 * seconds, LONGEST_PROBE_SECONDS)
            try:
                self._breaker.before_call()
            except CircuitOpenError:
                continue
            if await self.is_available(accepts_writes):
                return
            self._breaker.record_failure()

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

    async def _hold(self, seconds: float) -> None:
        """Wait while messages are held."""
        left = self._seconds_to_hold()
        if left <= 0:
            raise StoreAwayError(f"no call to the store has succeeded for {self._hold_seconds:.1f} s")
        await self.pause(min(seconds, left))

    def _seconds_to_hold(self) -> float:
        if self._failing_since is None:
            return self._hold_seconds
        return self._failing_since + self._hold_seconds - time.monotonic()

    async def _once(self, call: Callable[[], Awaitable[T]]) -> T:
        while True:
            try:
                async with self._limiter.slot():
                    self._breaker.before_call()
                    result = await call()
            except CircuitOpenError as error:
                self._failed()
                await self._hold(min(error.retry_after_seconds, PROBE_SECONDS))
            except ThrottledError as error:
                self._breaker.record_success()
                self._failed()
                self._count()
                await self._hold(error.retry_after_seconds)
            except RequestRefusedError:
                self._succeeded()
                raise
            except OUTAGE as error:
                self._breaker.record_failure(error)
                self._failed()
                raise
            else:
                self._succeeded()
                return result

    def _succeeded(self) -> None:
        self._breaker.record_success()
        self._failing_since = None

    def _failed(self) -> None:
        if self._failing_since is None:
            self._failing_since = time.monotonic()

    def _count(self, _state: RetryCallState | None = None) -> None:
        metrics.RETRIES.labels("store").inc()
