"""The provider's endpoints are asked with bounds: of time, of size, and of where the answer comes from."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, cast

import pytest

from cloudscale.dashboard.provider import (
    LARGEST_ANSWER_BYTES,
    ProviderClient,
    ProviderRefusedError,
    TokenAnswer,
    plain,
)
from cloudscale.errors import BackendError, BackendUnavailableError
from cloudscale.tasks import gather_all

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

FORM = {"grant_type": "refresh_token", "refresh_token": "r"}


@asynccontextmanager
async def serving(*pieces: bytes, then_wait: bool = False) -> AsyncIterator[tuple[str, list[bytes]]]:
    """A server that answers every connection with these bytes: its address, and what it was sent."""
    sent: list[bytes] = []
    ended = asyncio.Event()
    answering: list[asyncio.Task[None]] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answering.append(cast("asyncio.Task[None]", asyncio.current_task()))
        with suppress(ConnectionError):
            sent.append(await reader.readuntil(b"\r\n\r\n"))
            if sent[0].startswith(b"POST"):
                sent.append(await reader.read(65536))
            for piece in pieces:
                writer.write(piece)
            if then_wait:
                await ended.wait()
            writer.close()
            await writer.wait_closed()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/token", sent
    finally:
        ended.set()
        server.close()
        await gather_all(answering)


@asynccontextmanager
async def client(seconds: float = 10.0) -> AsyncIterator[ProviderClient]:
    asked = ProviderClient("the client", authority_file="", answer_seconds=seconds)
    try:
        yield asked
    finally:
        await asked.close()


def http(status: str, body: bytes, *headers: bytes) -> bytes:
    head = [f"HTTP/1.1 {status}".encode(), f"content-length: {len(body)}".encode(), b"connection: close", *headers]
    return b"\r\n".join(head) + b"\r\n\r\n" + body


async def ask(
    address: str, *, seconds: float = 10.0, secret: str = "", methods: Sequence[str] = ("client_secret_basic",)
) -> TokenAnswer:
    async with client(seconds) as provider:
        return await provider.ask_for_tokens(address, FORM, secret=secret, methods=methods)


async def test_tokens_are_read_and_the_rest_is_left_out() -> None:
    body = b'{"access_token":"a","id_token":"i","expires_in":"300","more":[1]}'
    async with serving(http("200 OK", body)) as (address, _):
        assert await ask(address) == TokenAnswer(access_token="a", id_token="i", expires_in=300)


@pytest.mark.parametrize(
    ("secret", "methods", "header", "form"),
    [
        ("", ["client_secret_basic"], None, b"client_id=the+client"),
        ("s:/", ["client_secret_basic", "client_secret_post"], b"Basic dGhlK2NsaWVudDpzJTNBJTJG", None),
        ("s:/", ["client_secret_post"], None, b"client_id=the+client&client_secret=s%3A%2F"),
    ],
)
async def test_the_client_shows_its_secret_as_the_provider_takes_it(
    secret: str, methods: list[str], header: bytes | None, form: bytes | None
) -> None:
    async with serving(http("200 OK", b"{}")) as (address, sent):
        await ask(address, secret=secret, methods=methods)

    head, body = sent
    assert head.startswith(b"POST /token ")
    assert (header is None) == (b"authorization" not in head.lower())
    assert header is None or header in head
    assert body == b"grant_type=refresh_token&refresh_token=r" + (b"" if form is None else b"&" + form)


@pytest.mark.parametrize(
    ("answer", "error", "says"),
    [
        (http("302 Found", b"", b"location: http://127.0.0.1:1/"), BackendUnavailableError, "answered 302"),
        (http("503 Away", b""), BackendUnavailableError, "answered 503"),
        (http("200 OK", b"x" * (LARGEST_ANSWER_BYTES + 1)), BackendError, "more than 262144 bytes"),
        (http("200 OK", b"[]"), BackendError, "cannot be read"),
        (http("200 OK", b'"\xff"'), BackendError, "cannot be read"),
        (http("400 Bad", b'{"error":"invalid_grant"}'), ProviderRefusedError, "invalid_grant"),
        (http("400 Bad", b'{"error":"invalid_scope"}'), BackendError, "does not accept this dashboard"),
        (http("400 Bad", b"<html>"), BackendError, "does not say why"),
        (b"no HTTP at all\r\n\r\n", BackendUnavailableError, "cannot be reached"),
        (b"", BackendUnavailableError, "cannot be reached"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{", BackendUnavailableError, "cannot be reached"),
    ],
)
async def test_every_other_answer_is_an_error_in_plain_words(answer: bytes, error: type[Exception], says: str) -> None:
    async with serving(answer) as (address, _):
        with pytest.raises(error, match=says):
            await ask(address)


@pytest.mark.parametrize("pieces", [(), (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{",)])
async def test_a_provider_that_is_slow_is_not_waited_for(pieces: tuple[bytes, ...]) -> None:
    async with serving(*pieces, then_wait=True) as (address, _):
        with pytest.raises(BackendUnavailableError, match="does not answer in time"):
            await ask(address, seconds=0.2)


async def test_a_provider_that_is_away_is_said_to_be() -> None:
    async with serving() as (address, _):
        pass
    with pytest.raises(BackendUnavailableError, match="cannot be reached"):
        await ask(address)


async def test_who_is_asked_about_needs_a_token_that_holds() -> None:
    async with serving(http("401 Unauthorized", b"")) as (address, _), client() as provider:
        with pytest.raises(ProviderRefusedError):
            await provider.ask_for_claims(address, "a")
    async with serving(http("200 OK", b'{"sub":"ann"}')) as (address, sent), client() as provider:
        assert await provider.ask_for_claims(address, "a") == {"sub": "ann"}
    assert b"Bearer a" in sent[0]


def test_another_s_text_is_bounded_and_moves_no_terminal() -> None:
    assert plain("\x1b[2J" + "x" * 500 + "\n") == "[2J" + "x" * 196
