from __future__ import annotations

import time
from typing import TYPE_CHECKING

import msgspec
import pytest

from cloudscale.dashboard.sign_in_attempt import ATTEMPT_SECONDS, Attempts, new_attempt, own_page

if TYPE_CHECKING:
    from redis.asyncio import Redis

PREFIX = "test:sign-in:"


async def test_every_dashboard_opens_an_attempt_and_nobody_else_reads_it(redis: Redis) -> None:
    attempt = new_attempt("/#/events")
    sealed = await Attempts(redis, key_prefix=PREFIX).seal(attempt)

    assert attempt.verifier not in sealed
    assert await Attempts(redis, key_prefix=PREFIX).open(sealed) == attempt
    assert await Attempts(redis, key_prefix="other:sign-in:").open(sealed) is None


async def test_an_attempt_takes_ten_minutes_at_the_most(redis: Redis) -> None:
    attempts = Attempts(redis, key_prefix=PREFIX)
    attempt = new_attempt("/")
    assert ATTEMPT_SECONDS - 5 < attempt.ends_at - time.time() <= ATTEMPT_SECONDS == 600

    late = msgspec.structs.replace(attempt, ends_at=time.time() - 1)

    assert await attempts.open(await attempts.seal(late)) is None


async def test_an_attempt_is_used_once_on_all_dashboards_and_forgotten_later(redis: Redis) -> None:
    here, elsewhere = Attempts(redis, key_prefix=PREFIX), Attempts(redis, key_prefix=PREFIX)
    attempt = new_attempt("/")
    assert not await elsewhere.is_used(attempt)
    assert await here.use(attempt)

    assert await elsewhere.is_used(attempt)
    assert not await elsewhere.use(attempt)
    (key,) = await redis.keys("*used*")
    assert 0 < await redis.ttl(key) <= ATTEMPT_SECONDS
    assert attempt.state not in str(key)


def test_the_challenge_is_that_of_rfc_7636() -> None:
    attempt = msgspec.structs.replace(new_attempt("/"), verifier="dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")

    assert attempt.challenge == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


@pytest.mark.parametrize("address", ["/", "/#/", "/#/events?user=ada&tenant=contoso", "/#/events/contoso/2026-11/e1"])
def test_a_page_of_the_dashboard_is_one(address: str) -> None:
    assert own_page(address) == address


@pytest.mark.parametrize("address", ["", "//x", "/\\x", "/x", "/#x", "/#/ x", "/#/\n", "/#/\x00", "https://x/#/", " /"])
def test_everything_else_is_the_first_page(address: str) -> None:
    assert own_page(address) == "/"
