"""Posts requests to the receiver of an outlet, and says what became of each."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final, Self
from urllib.parse import urlsplit

import aiohttp

from cloudscale import __version__
from cloudscale.outlets.destination import Guard
from cloudscale.trust import client_context
from cloudscale.units import parse_duration

if TYPE_CHECKING:
    from cloudscale.pipeline.outlets import Webhook

CONNECT_SECONDS: Final = 5.0
DRAIN_SECONDS: Final = 1.0
DISCARDED_BYTES: Final = 16 * 1024
"""Of an answer's body, so that its connection can be used again; one with a longer body is closed."""

CONNECTIONS: Final = 4
GONE: Final = 410
LONGEST_WISH: Final = timedelta(hours=24)
"""What a receiver may ask to be left alone for."""


@dataclass(frozen=True)
class Answer:
    """What became of a request. ``status`` is None without an answer, ``problem`` empty when the events were taken."""

    status: int | None
    problem: str = ""
    retry_after: timedelta = timedelta(0)
    """How long the receiver asks to be left alone."""

    @property
    def is_taken(self) -> bool:
        """Whether the receiver has the events."""
        return not self.problem

    @property
    def is_gone(self) -> bool:
        """Whether the receiver ends the subscription."""
        return self.status == GONE


class Receiver:
    """The HTTP client of one outlet, as an async context manager. ``authority_file`` is that of the settings.

    It follows no redirect, uses no proxy, keeps no cookie, and connects to public addresses only unless the outlet says
    otherwise.
    """

    def __init__(self, webhook: Webhook, *, authority_file: str) -> None:
        self._url = webhook.url
        self._exits = AsyncExitStack()
        self._guard = Guard(allow_private=webhook.allow_private)
        self._timeout_seconds = parse_duration(webhook.timeout).total_seconds()
        self._authority_file = authority_file
        self._session: aiohttp.ClientSession

    async def __aenter__(self) -> Self:
        trust = client_context(urlsplit(self._url).hostname or "", authority_file=self._authority_file)
        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=CONNECTIONS, ssl=trust, socket_factory=self._guard),
            timeout=aiohttp.ClientTimeout(
                total=self._timeout_seconds, connect=min(CONNECT_SECONDS, self._timeout_seconds)
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            headers={"User-Agent": f"CloudScale/{__version__}"},
        )
        self._session = await self._exits.enter_async_context(session)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._exits.aclose()

    async def post(self, body: bytes, headers: dict[str, str]) -> Answer:
        """Make one request. Whatever goes wrong on the way to the receiver is an answer too."""
        try:
            async with self._session.post(self._url, data=body, headers=headers, allow_redirects=False) as response:
                await _discard(response)
                return _answer(response.status, response.headers.get("Retry-After", ""))
        except TimeoutError:
            return Answer(None, f"no answer within {self._timeout_seconds:g} s")
        except (aiohttp.ClientError, OSError) as error:
            return Answer(None, f"cannot be reached: {_first_line(error)}")


def _answer(status: int, retry_after: str) -> Answer:
    if 200 <= status < 300:
        return Answer(status)
    problem = f"answers {status}"
    if 300 <= status < 400:
        problem += ": redirects are not followed, give the address that it leads to as webhook.url"
    return Answer(status, problem, parse_retry_after(retry_after, now=datetime.now(UTC)))


def parse_retry_after(text: str, *, now: datetime) -> timedelta:
    """The wish in a ``Retry-After`` header (RFC 9110, section 10.2.3), zero where there is none that can be read."""
    try:
        if text.isascii() and text.isdigit():
            wish = timedelta(seconds=min(int(text[:10]), LONGEST_WISH.total_seconds()))
        else:
            moment = parsedate_to_datetime(text)
            wish = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - now
    except (ValueError, TypeError, OverflowError):
        return timedelta(0)
    return min(max(wish, timedelta(0)), LONGEST_WISH)


async def _discard(response: aiohttp.ClientResponse) -> None:
    """Read a little of the body and drop it. What it says never counts."""
    left = DISCARDED_BYTES
    with suppress(aiohttp.ClientError, TimeoutError):
        async with asyncio.timeout(DRAIN_SECONDS):
            while left > 0 and (chunk := await response.content.read(left)):
                left -= len(chunk)
    if not response.content.at_eof():
        response.close()


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).split("\n", 1)[0][:300]
