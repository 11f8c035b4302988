"""One renewal at a time, over all dashboards; what the provider gave is never lost with who asked."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import msgspec
import pytest
from tests.dashboard.person import person

from cloudscale.dashboard.renewals import Renewals
from cloudscale.dashboard.session_store import SessionStore
from cloudscale.errors import BackendUnavailableError

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from cloudscale.dashboard.session import PersonSession

DUE = msgspec.structs.replace(person(), renew_at=0.0)
FRESH = person()


class Provider:
    """Answers when it is told to."""

    def __init__(self, answer: PersonSession | None = FRESH) -> None:
        self.answer = answer
        self.asked = 0
        self.was_asked = asyncio.Event()
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def ask(self, _name: str, _session: PersonSession) -> PersonSession | None:
        self.asked += 1
        self.was_asked.set()
        await self.may_answer.wait()
        return self.answer


def dashboard(redis: Redis, provider: Provider) -> tuple[SessionStore, Renewals]:
    store = SessionStore(redis, key_prefix="test:session:", trusted_seconds=0)
    return store, Renewals(redis, key_prefix="test:sign-in:", store=store, ask=provider.ask)


async def test_requests_at_once_on_two_dashboards_ask_once(redis: Redis) -> None:
    provider = Provider()
    provider.may_answer.clear()
    (store, here), (_, elsewhere) = dashboard(redis, provider), dashboard(redis, provider)
    name = await store.open(DUE)

    renewed = [asyncio.create_task(renewals.renew(name)) for renewals in [here, elsewhere] * 4]
    await provider.was_asked.wait()
    for _ in range(20):
        # Time enough for who does not wait for the lock.
        await store.find(name, fresh=True)
    provider.may_answer.set()

    assert await asyncio.gather(*renewed) == [FRESH] * 8
    assert provider.asked == 1
    assert await redis.keys("*lock*") == []


async def test_a_caller_that_goes_away_does_not_lose_the_renewal(redis: Redis) -> None:
    provider = Provider()
    provider.may_answer.clear()
    store, renewals = dashboard(redis, provider)
    name = await store.open(DUE)
    caller = asyncio.create_task(renewals.renew(name))
    await provider.was_asked.wait()
    caller.cancel()
    await asyncio.wait([caller])

    provider.may_answer.set()

    assert await renewals.renew(name) == FRESH
    assert provider.asked == 1
    assert await store.find(name) == FRESH


async def test_what_the_provider_does_not_renew_is_over(redis: Redis) -> None:
    store, renewals = dashboard(redis, Provider(answer=None))
    name = await store.open(DUE)

    assert await renewals.renew(name) is None
    assert await store.find(name) is None


async def test_a_session_that_was_ended_meanwhile_stays_ended(redis: Redis) -> None:
    provider = Provider()
    provider.may_answer.clear()
    store, renewals = dashboard(redis, provider)
    name = await store.open(DUE)
    renewal = asyncio.create_task(renewals.renew(name))
    await provider.was_asked.wait()
    await store.end(name)
    provider.may_answer.set()

    assert await renewal is None
    assert await redis.keys("*session*") == []


async def test_a_provider_that_does_not_answer_in_time_ends_nothing(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cloudscale.dashboard.renewals.ASK_SECONDS", 0.05)
    provider = Provider()
    provider.may_answer.clear()
    store, renewals = dashboard(redis, provider)
    name = await store.open(DUE)

    with pytest.raises(BackendUnavailableError, match="does not answer in time"):
        await renewals.renew(name)

    assert await store.find(name) == DUE
    assert await redis.keys("*lock*") == []


async def test_waiting_for_another_s_renewal_is_bounded(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cloudscale.dashboard.renewals.WAIT_SECONDS", 0.1)
    provider = Provider()
    provider.may_answer.clear()
    (store, here), (_, elsewhere) = dashboard(redis, provider), dashboard(redis, provider)
    name = await store.open(DUE)
    stuck = asyncio.create_task(here.renew(name))
    await provider.was_asked.wait()

    with pytest.raises(BackendUnavailableError, match="too long"):
        await elsewhere.renew(name)

    provider.may_answer.set()
    assert await stuck == FRESH


async def test_a_session_that_holds_is_not_asked_about(redis: Redis) -> None:
    provider = Provider()
    store, renewals = dashboard(redis, provider)
    name = await store.open(FRESH)

    assert await renewals.renew(name) == FRESH
    assert await renewals.renew("nobody's") is None
    assert not provider.asked
    assert FRESH.renew_at > time.time()


async def test_closing_ends_what_is_under_way(redis: Redis) -> None:
    provider = Provider()
    provider.may_answer.clear()
    store, renewals = dashboard(redis, provider)
    renewal = asyncio.create_task(renewals.renew(await store.open(DUE)))
    await provider.was_asked.wait()

    await renewals.close()

    with pytest.raises(asyncio.CancelledError):
        await renewal
