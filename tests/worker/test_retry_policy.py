"""How long the worker waits between two tries of a call that the store does not answer."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from cloudscale.cache.keys import Keys
from cloudscale.circuit_breaker import CircuitBreaker
from cloudscale.errors import BackendUnavailableError
from cloudscale.ledger.backlog import BacklogReader
from cloudscale.pipeline import Concurrency, Retries
from cloudscale.queue.administration import QueueDepth
from cloudscale.worker.concurrency_limiter import ConcurrencyLimiter
from cloudscale.worker.retry_policy import StoreRetryPolicy

JITTER = 0.25
"""Added to each delay at the most, as a share of the first, so that workers do not come back all at once."""


class Recorded(StoreRetryPolicy):
    """Notes how long it would wait, and does not."""

    waits: tuple[float, ...] = ()

    async def _hold(self, seconds: float) -> None:
        self.waits += (seconds,)


async def delays(retries: Retries) -> tuple[float, ...]:
    """The waits of a call that fails for good."""

    async def depth() -> QueueDepth:
        return QueueDepth(active=0, dead_letters=0, scheduled=0)

    async def fail() -> None:
        raise BackendUnavailableError("the store is away")

    backlog = BacklogReader(depth, None, keys=Keys(namespace="shop", name="example"), events_per_message=1)
    retry_policy = Recorded(
        retries,
        breaker=CircuitBreaker(
            failure_ratio=1, window=timedelta(minutes=1), minimum_calls=100, open_for=timedelta(minutes=1)
        ),
        stopping=asyncio.Event(),
        limiter=ConcurrencyLimiter(Concurrency(), backlog),
        lock_seconds=300,
    )
    with pytest.raises(BackendUnavailableError):
        await retry_policy.attempt(fail)
    return retry_policy.waits


async def test_a_call_is_retried_after_half_a_second_one_and_two_by_default() -> None:
    for wait, expected in zip(await delays(Retries()), (0.5, 1.0, 2.0), strict=True):
        assert expected <= wait <= expected + JITTER * 0.5


async def test_the_resource_sets_number_first_delay_and_growth() -> None:
    waits = await delays(Retries(attempts=4, initial_delay="100ms", factor=3))
    for wait, expected in zip(waits, (0.1, 0.3, 0.9, 2.7), strict=True):
        assert expected <= wait <= expected + JITTER * 0.1
