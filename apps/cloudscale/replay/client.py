"""Sends events to the ingestion API, and waits as long as it asks to."""

from __future__ import annotations

import asyncio
import os
import time
from typing import TYPE_CHECKING, Any, Self, TypeVar

import aiohttp
import msgspec

from cloudscale import untrusted_json
from cloudscale.errors import BackendUnavailableError, ConfigurationError
from cloudscale.untrusted_json import UnreadableJsonError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Answer = TypeVar("Answer")

BATCH_PATH = "/api/v1/events/batch"
SINGLE_PATH = "/api/v1/events"
PATIENCE_SECONDS = 300.0
SILENT_SECONDS = 2.0

_REQUEST_SECONDS = 60.0
_FIRST_DELAY_SECONDS = 0.25
_LONGEST_DELAY_SECONDS = 30.0
_COMING_BACK = frozenset({408, 429, 500, 502, 503, 504})
_ELSEWHERE = frozenset({301, 302, 303, 307, 308, 401, 403, 404, 405, 410, 501})
"""Answers that every other event would get as well, because the address is not that of an ingestion API."""
_PROBLEM = "application/problem+json"
_NOTIFY_INTERVAL_SECONDS = 10.0
"""Shortest time between two notices of a wait that goes on."""


class Result(msgspec.Struct, frozen=True, rename="camel"):
    """What the API said of one event. ``problem`` is its problem document when it was refused."""

    status: int
    id: str = ""
    correlation_id: str = ""
    duplicate: bool = False
    problem: dict[str, Any] | None = None

    @property
    def is_accepted(self) -> bool:
        """Whether it is in the queue now."""
        return self.status == 202

    @property
    def is_duplicate(self) -> bool:
        """Whether it had been accepted before."""
        return self.status == 409 or self.duplicate

    @property
    def is_to_be_repeated(self) -> bool:
        """Whether the same request may succeed later."""
        return self.status in _COMING_BACK


class _Batch(msgspec.Struct):
    results: list[Result]


class _Single(msgspec.Struct, rename="camel"):
    id: str
    correlation_id: str
    duplicate: bool = False


_batch = msgspec.json.Decoder(_Batch)
_single = msgspec.json.Decoder(_Single)
_document = msgspec.json.Decoder(dict[str, Any])


class _Delay:
    """Grows from failure to failure; the API's own Retry-After comes first, unless it is 0."""

    def __init__(self, patience_seconds: float) -> None:
        self._patience_seconds = patience_seconds
        self._seconds = _FIRST_DELAY_SECONDS
        self._began = time.monotonic()

    @property
    def elapsed_seconds(self) -> float:
        """Since the first attempt."""
        return time.monotonic() - self._began

    async def wait(self, why: str, *, retry_after: float | None = None) -> None:
        if self.elapsed_seconds > self._patience_seconds:
            raise BackendUnavailableError(f"given up after {self._patience_seconds:.0f} s: {why}")
        await asyncio.sleep(retry_after or self._seconds)
        self._seconds = min(self._seconds * 2, _LONGEST_DELAY_SECONDS)


class EventClient:
    """A client of one ingestion API, as an async context manager.

    Args:
        url: where the API is.
        connections: how many requests may be under way at once.
        key: the API key or token that goes with each request; None where the API takes events of anybody.
        notify: gets a line for people that says why the client waits.
        patience_seconds: an API that has answered nothing useful for so long is given up.
        silent_seconds: a shorter wait is not worth a notice.
    """

    def __init__(
        self,
        url: str,
        *,
        connections: int,
        key: str | None = None,
        notify: Callable[[str], None] | None = None,
        patience_seconds: float = PATIENCE_SECONDS,
        silent_seconds: float = SILENT_SECONDS,
    ) -> None:
        headers = {} if key is None else {"authorization": f"Bearer {_checked(key)}"}
        self._url = url.rstrip("/")
        self._patience_seconds = patience_seconds
        self._silent_seconds = silent_seconds
        self._notify = notify
        self._notified_at = float("-inf")
        self._has_answered = False
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=connections),
            timeout=aiohttp.ClientTimeout(total=_REQUEST_SECONDS),
            headers=headers,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def send_batch(self, events: Sequence[bytes]) -> list[Result]:
        """Send events in one request, and those that were not taken again until they are; results in their order.

        Raises:
            BackendUnavailableError: nothing listens there, or the API did not come back in ``patience_seconds``.
            ConfigurationError: this is no address, what answers there is no ingestion API, or it wants another key.
        """
        if not events:
            return []
        results: list[Result | None] = [None] * len(events)
        open_places = list(range(len(events)))
        delay = _Delay(self._patience_seconds)
        while True:
            body = b"\n".join(events[place] for place in open_places)
            status, answer, retry_after = await self._post(BATCH_PATH, body, "application/x-ndjson", delay)
            outcomes = self._batch_results(status, answer, len(open_places))
            for place, outcome in zip(open_places, outcomes, strict=True):
                results[place] = outcome
            open_places = [
                place for place, outcome in zip(open_places, outcomes, strict=True) if outcome.is_to_be_repeated
            ]
            if not open_places:
                return [result for result in results if result is not None]
            why = f"{self._url} does not take {len(open_places)} events yet"
            await self._wait(delay, why, retry_after=retry_after)

    async def send(self, event: bytes) -> Result:
        """Send one event in a request of its own, again and again until there is a lasting answer.

        Raises:
            BackendUnavailableError: nothing listens there, or the API did not come back in ``patience_seconds``.
            ConfigurationError: this is no address, what answers there is no ingestion API, or it wants another key.
        """
        status, answer, _ = await self._post(SINGLE_PATH, event, "application/json", _Delay(self._patience_seconds))
        if status in (200, 202):
            single = self._understood(status, answer, _single)
            return Result(status, single.id, single.correlation_id, single.duplicate)
        problem = _problem(status, answer)
        return Result(status, str(problem.get("id", "")), str(problem.get("correlationId", "")), problem=problem)

    async def _post(self, path: str, body: bytes, content_type: str, delay: _Delay) -> tuple[int, bytes, float | None]:
        """The first answer that is not about a server that is busy or away: status, body and Retry-After in seconds."""
        while True:
            retry_after = None
            try:
                async with self._session.post(
                    self._url + path, data=body, headers={"content-type": content_type}, allow_redirects=False
                ) as response:
                    answer = await response.read()
                    self._has_answered = True
                    if response.status in (401, 403) and response.content_type == _PROBLEM:
                        detail = _problem(response.status, answer).get("detail")
                        raise ConfigurationError(
                            f"{self._url} answers {response.status}: {detail}. "
                            "Set CLOUDSCALE_KEY to a key for these events"
                        )
                    if response.status in _ELSEWHERE:
                        raise ConfigurationError(
                            f"{self._url}{path} answers {response.status}, as no ingestion API does: check the address "
                            "given as --url"
                        )
                    retry_after = _seconds(response.headers.get("retry-after"))
                    if response.status not in _COMING_BACK:
                        return response.status, answer, retry_after
                    why = f"{self._url} answers {response.status}: {_problem(response.status, answer).get('detail')}"
            except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError):
                raise ConfigurationError(
                    f"{self._url!r} is no address of an ingestion API: give --url as http://HOST:PORT"
                ) from None
            except aiohttp.ClientConnectorError as error:
                why = f"{self._url} cannot be reached: {_reason_of(error)}"
                if not self._has_answered:
                    # One that was there may come back. One that never was is more likely another address.
                    raise BackendUnavailableError(
                        f"{why}. Is the pipeline running, and is this its address? --url gives another one"
                    ) from None
            except aiohttp.ClientError as error:
                why = f"{self._url} broke the connection off: {error}"
            except TimeoutError:
                why = f"{self._url} did not answer within {_REQUEST_SECONDS:.0f} s"
            await self._wait(delay, why, retry_after=retry_after)

    async def _wait(self, delay: _Delay, why: str, *, retry_after: float | None) -> None:
        now = time.monotonic()
        # Requests that wait side by side wait for the same thing.
        is_news = delay.elapsed_seconds >= self._silent_seconds and now - self._notified_at >= _NOTIFY_INTERVAL_SECONDS
        if self._notify is not None and is_news:
            self._notified_at = now
            self._notify(f"{why}; trying again, for {self._patience_seconds:.0f} s at the most")
        await delay.wait(why, retry_after=retry_after)

    def _batch_results(self, status: int, answer: bytes, count: int) -> list[Result]:
        if status not in (200, 202, 207):
            # The request as a whole was refused, so each of its events was.
            return [Result(status, problem=_problem(status, answer))] * count
        results = self._understood(status, answer, _batch).results
        if len(results) != count:
            raise self._misunderstood(status)
        return results

    def _understood(self, status: int, answer: bytes, decoder: msgspec.json.Decoder[Answer]) -> Answer:
        try:
            return untrusted_json.decode(answer, decoder)
        except UnreadableJsonError:
            raise self._misunderstood(status) from None

    def _misunderstood(self, status: int) -> ConfigurationError:
        return ConfigurationError(
            f"{self._url} answers {status}, but not as an ingestion API does: check the address given as --url"
        )


def _checked(key: str) -> str:
    """The key, if a header can carry it.

    Raises:
        ConfigurationError: it cannot.
    """
    text = key.strip()
    if not text or not text.isascii() or not text.isprintable() or " " in text:
        raise ConfigurationError("what --key or CLOUDSCALE_KEY gives is no key and no token: it is one word of ASCII")
    return text


def _reason_of(error: aiohttp.ClientConnectorError) -> str:
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return f"no address of the host {error.host!r} is known"
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return "its certificate is not trusted here"
    return os.strerror(error.errno).lower() if error.errno else str(error.os_error)


def _problem(status: int, answer: bytes) -> dict[str, Any]:
    try:
        return untrusted_json.decode(answer, _document)
    except UnreadableJsonError:
        return {"status": status, "detail": answer[:500].decode(errors="replace")}


def _seconds(header: str | None) -> float | None:
    return min(float(header), _LONGEST_DELAY_SECONDS) if header and header.isdigit() else None
