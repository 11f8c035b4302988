"""An issuer's keys: when they are fetched, what happens while it is away, and what is never done for a token."""

from __future__ import annotations

import asyncio
import gzip
import json
import threading
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from tests.access.signing import KEYS, RSA, STRANGE, Clock
from tests.servers.token_issuer import DISCOVERY, Answer, public_jwk
from tests.servers.token_issuer import KEYS as KEYS_PATH
from tests.waiting import wait_until

from cloudscale.access import issuer as issuer_module
from cloudscale.access import provider_documents
from cloudscale.access.caller import AccessUnavailableError
from cloudscale.access.issuer import KEEP_SECONDS, LEAST_SECONDS_BETWEEN_REQUESTS, Issuer
from cloudscale.access.key_set import MOST_KEYS
from cloudscale.access.provider_documents import LARGEST_BYTES
from cloudscale.local.ports import find_free_ports

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.servers.token_issuer import TokenIssuerServer

GOOD_KEYS = json.dumps({"keys": KEYS}).encode()
MANY_KEYS = json.dumps({"keys": [public_jwk(RSA, kid=str(number)) for number in range(MOST_KEYS + 1)]}).encode()


@pytest.fixture
async def known(issuer: TokenIssuerServer, clock: Clock) -> AsyncIterator[Issuer]:
    async with Issuer(issuer.url, clock=clock) as known:
        yield known


def described(server: TokenIssuerServer, /, **changed: object) -> Answer:
    """The issuer's description, with changes."""
    return Answer(json.dumps(server.description | changed).encode())


async def has_key(known: Issuer, key_id: str = "rsa") -> bool:
    return await known.key_for(key_id, "RS256") is not None


async def problem_of(known: Issuer, key_id: str = "rsa") -> str:
    """Why it is not known whether there is such a key; whoever asks is not told."""
    with pytest.raises(
        AccessUnavailableError, match="cannot be asked for its keys now: send the request again"
    ) as told:
        await has_key(known, key_id)
    assert known.problem
    assert known.problem not in str(told.value)
    return known.problem


async def test_both_documents_are_fetched_once_for_all_who_wait(known: Issuer, issuer: TokenIssuerServer) -> None:
    assert all(await asyncio.gather(*(has_key(known) for _ in range(20))))
    assert issuer.requests == {DISCOVERY: 1, KEYS_PATH: 1}


async def test_an_unknown_key_lets_the_issuer_be_asked_at_most_every_30_seconds(
    known: Issuer, issuer: TokenIssuerServer, clock: Clock
) -> None:
    assert LEAST_SECONDS_BETWEEN_REQUESTS == 30
    assert not any([await has_key(known, f"unknown {number}") for number in range(20)])
    clock.seconds += 29.9
    assert not any([await has_key(known, f"unknown {number}") for number in range(20)])
    assert issuer.requests[KEYS_PATH] == 1

    clock.seconds += 0.1
    assert not any(await asyncio.gather(*(has_key(known, f"unknown {number}") for number in range(20))))
    assert issuer.requests[KEYS_PATH] == 2


async def test_a_new_key_is_found_when_it_is_first_used(known: Issuer, issuer: TokenIssuerServer, clock: Clock) -> None:
    assert await has_key(known)
    version = known.version
    issuer.keys = [public_jwk(STRANGE, kid="new")]
    clock.seconds += 30

    assert await has_key(known, "new")
    assert not await has_key(known, "rsa"), "a key that was withdrawn is still taken"
    assert known.version != version


async def test_keys_are_fetched_again_before_anybody_asks(
    issuer: TokenIssuerServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(issuer_module, "RENEW_SECONDS", 0.01)
    hours = iter(range(0, 10**9, 3600))

    async def asked_often() -> bool:
        return issuer.requests[KEYS_PATH] >= 4

    async with Issuer(issuer.url, clock=lambda: next(hours)):
        await wait_until(asked_often, within=timedelta(seconds=20))


async def test_its_tasks_end_with_it(issuer: TokenIssuerServer) -> None:
    issuer.answers[DISCOVERY] = Answer(held=threading.Event())
    before = asyncio.all_tasks()

    async with Issuer(issuer.url):
        assert len(asyncio.all_tasks()) > len(before)

    assert asyncio.all_tasks() == before


async def test_who_gives_up_does_not_take_the_answer_from_others(known: Issuer, issuer: TokenIssuerServer) -> None:
    issuer.answers[DISCOVERY] = described(issuer)
    held = issuer.answers[DISCOVERY].held = threading.Event()
    impatient, patient = (asyncio.create_task(has_key(known)) for _ in range(2))

    async def is_asked() -> bool:
        return issuer.requests[DISCOVERY] == 1

    await wait_until(is_asked, within=timedelta(seconds=10))
    impatient.cancel()
    held.set()

    assert await patient
    assert issuer.requests[DISCOVERY] == 1


async def test_an_issuer_that_was_never_reached_leaves_open_who_somebody_is(clock: Clock) -> None:
    (port,) = find_free_ports("127.0.0.1", 1)

    async with Issuer(f"http://127.0.0.1:{port}", clock=clock) as nobody:
        assert f"127.0.0.1:{port}/.well-known/openid-configuration cannot be fetched" in await problem_of(nobody)
        with pytest.raises(AccessUnavailableError, match="cannot be asked"):
            await nobody.metadata()


async def test_an_issuer_that_comes_back_is_asked_again_after_30_seconds(
    known: Issuer, issuer: TokenIssuerServer, clock: Clock
) -> None:
    issuer.answers[DISCOVERY] = Answer(status=503)
    assert "answered 503" in await problem_of(known)
    del issuer.answers[DISCOVERY]
    with pytest.raises(AccessUnavailableError):
        await has_key(known)
    assert issuer.requests[DISCOVERY] == 1

    clock.seconds += 30
    assert await has_key(known)


async def test_known_keys_are_kept_while_the_issuer_is_away_and_unknown_ones_are_left_open(
    known: Issuer, issuer: TokenIssuerServer, clock: Clock
) -> None:
    assert await has_key(known)
    issuer.answers[KEYS_PATH] = Answer(status=500)
    clock.seconds += 3600

    assert "answered 500" in await problem_of(known, "new")
    assert await has_key(known)
    assert (await known.metadata()).issuer == issuer.url


async def test_keys_are_not_kept_for_longer_than_a_day(known: Issuer, issuer: TokenIssuerServer, clock: Clock) -> None:
    assert await has_key(known)
    version = known.version
    issuer.answers[KEYS_PATH] = Answer(status=500)
    clock.seconds += KEEP_SECONDS + 1
    await known.renew()

    with pytest.raises(AccessUnavailableError):
        await has_key(known)
    assert known.version != version


async def test_a_slow_issuer_is_not_waited_for(
    issuer: TokenIssuerServer, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    monkeypatch.setattr(provider_documents, "REQUEST_SECONDS", 0.1)
    issuer.answers[KEYS_PATH] = Answer(held=threading.Event())

    async with Issuer(issuer.url, clock=clock) as slow:
        assert "cannot be fetched" in await problem_of(slow)


async def test_a_redirection_is_not_followed(known: Issuer, issuer: TokenIssuerServer) -> None:
    issuer.answers[KEYS_PATH] = Answer(status=302, headers={"Location": f"{issuer.url}/elsewhere"})
    issuer.answers["/elsewhere"] = Answer(GOOD_KEYS)

    assert "answered 302" in await problem_of(known)
    assert issuer.requests["/elsewhere"] == 0


async def test_an_answer_with_content_length_that_lies_is_refused(known: Issuer, issuer: TokenIssuerServer) -> None:
    issuer.answers[KEYS_PATH] = Answer(
        GOOD_KEYS, headers={"Content-Length": str(len(GOOD_KEYS) + 1), "Connection": "close"}
    )

    assert "cannot be fetched" in await problem_of(known)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"{}", "cannot be used"),
        (b"", "cannot be used"),
        (b"<html>", "cannot be used"),
        (b'{"keys": 1}', "cannot be used"),
        (b'{"keys": [1]}', "cannot be used"),
        (b'{"keys": ["\xff"]}', "cannot be used"),
        (b'{"keys": [' + b"[" * 100_000, "cannot be used"),
        (MANY_KEYS, f"at most {MOST_KEYS} keys"),
        (GOOD_KEYS + b" " * LARGEST_BYTES, f"more than {LARGEST_BYTES} bytes"),
    ],
    ids=lambda value: str(value)[:20],
)
async def test_an_answer_that_is_no_key_set_is_refused(
    body: bytes, says: str, known: Issuer, issuer: TokenIssuerServer
) -> None:
    issuer.answers[KEYS_PATH] = Answer(body)

    assert says in await problem_of(known)


async def test_an_answer_is_not_unpacked(known: Issuer, issuer: TokenIssuerServer) -> None:
    bomb = gzip.compress(b" " * 50_000_000)
    issuer.answers[KEYS_PATH] = Answer(bomb, headers={"Content-Encoding": "gzip"})
    assert len(bomb) < LARGEST_BYTES

    assert "cannot be used" in await problem_of(known)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"issuer": "https://evil.example"}, "calls itself https://evil.example"),
        ({"issuer": None}, "cannot be used"),
        ({"jwks_uri": None}, "cannot be used"),
        ({"jwks_uri": "http://keys.example/keys"}, "without HTTPS"),
        ({"jwks_uri": "http://127.0.0.1.example/keys"}, "without HTTPS"),
        ({"jwks_uri": "http://127.0.0.1@keys.example/keys"}, "without HTTPS"),
        ({"jwks_uri": "https://user@keys.example/keys"}, "without HTTPS"),
        ({"jwks_uri": "file:///etc/passwd"}, "without HTTPS"),
        ({"jwks_uri": "/keys"}, "without HTTPS"),
        ({"jwks_uri": "http://[::1"}, "without HTTPS"),
        ({"authorization_endpoint": "http://login.example/"}, "without HTTPS"),
        ({"token_endpoint": "http://login.example/"}, "without HTTPS"),
        ({"end_session_endpoint": "javascript:alert(1)"}, "without HTTPS"),
    ],
    ids=str,
)
async def test_a_description_that_leads_elsewhere_is_refused(
    changed: dict[str, object], says: str, known: Issuer, issuer: TokenIssuerServer
) -> None:
    issuer.answers[DISCOVERY] = described(issuer, **changed)

    assert says in await problem_of(known)


async def test_a_slash_at_the_end_of_the_issuer_makes_another_issuer(issuer: TokenIssuerServer, clock: Clock) -> None:
    async with Issuer(f"{issuer.url}/", clock=clock) as other:
        assert f"calls itself {issuer.url}: write it so" in await problem_of(other)


async def test_keys_may_be_at_another_host(
    known: Issuer, issuer: TokenIssuerServer, other_issuer: TokenIssuerServer
) -> None:
    issuer.answers[DISCOVERY] = described(issuer, jwks_uri=f"{other_issuer.url}/keys")

    assert await has_key(known, "other")
