"""Reads the bodies of requests within bounds of size, of time and of memory.

The server hands a request over as soon as its headers are there, so it is here that a large, a slow or a crowd of
bodies is kept from taking the process down. What counts is what has arrived: a length that is only announced reserves
nothing, or a few idle connections could keep everybody else out.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from cloudscale.ingestion.answers import unavailable
from cloudscale.ingestion.problems import Problem
from cloudscale.ingestion.requests import Refused, content_of, too_large

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from granian._granian import RSGIHTTPProtocol as HTTPProtocol

    from cloudscale.ingestion.requests import Request

T = TypeVar("T")

DISCARDED_BYTES = 16 * 1024 * 1024
"""A body that is too large is still read to its end up to here, because many clients look at the answer only then."""

HELD_BYTES = 24 * 1024 * 1024
"""Bodies that one process holds at once. Decoded and enriched they take some eight times as much."""

SHARE_OF_LARGE_BODIES = 0.75
"""Of ``HELD_BYTES``, for bodies that arrive in parts; the rest is always there for single events."""

SMALL_BODY_BYTES = 64 * 1024
"""A body that announces no more is read at once and counted when it is there: until then the server holds less of it
than of a connection's other buffers."""

HELD_BYTES_PER_CLIENT = HELD_BYTES // 2
"""Of these at the most for one address, so that a client whose bodies never end leaves room for the others'."""

ARRIVAL_SECONDS = 30.0
SWEEP_SECONDS = 1.0


class Hold:
    """What one request's body holds of the process's memory, until it is released."""

    __slots__ = ("_bodies", "_client", "_size", "has_arrived", "share")

    def __init__(self, bodies: Bodies, client: str) -> None:
        self.has_arrived = False
        """Whether the body was read to its end."""
        self.share = 1.0
        """How much of the process's memory for bodies may be taken when this one grows."""
        self._bodies = bodies
        self._client = client
        self._size = 0

    def grow(self, size: int) -> None:
        """Take ``size`` more bytes.

        Raises:
            Refused: this client, or all together, hold as much as they may.
        """
        self._bodies.take(self._client, size, share=self.share)
        self._size += size

    def release(self) -> None:
        """Give everything back."""
        self._bodies.give_back(self._client, self._size)
        self._size = 0


class Bodies:
    """The bodies that one process is reading or working on."""

    def __init__(self) -> None:
        self._held = 0
        self._held_by: dict[str, int] = {}
        self._arriving: dict[asyncio.Task[object], float] = {}
        self._late: set[asyncio.Task[object]] = set()

    def hold(self, client: str) -> Hold:
        """Memory for the body of a request from ``client``, an address: none yet."""
        return Hold(self, client)

    def take(self, client: str, size: int, *, share: float) -> None:
        """Count ``size`` more bytes as held, if that leaves no more than ``share`` of the memory taken.

        Raises:
            Refused: this client, or all together, hold as much as they may.
        """
        own = self._held_by.get(client, 0) + size
        if own > HELD_BYTES_PER_CLIENT or self._held + size > share * HELD_BYTES:
            raise Refused(unavailable("too many large requests are being read: send the event again later", "memory"))
        self._held += size
        self._held_by[client] = own

    def give_back(self, client: str, size: int) -> None:
        """Count ``size`` bytes as held no more."""
        self._held -= size
        own = self._held_by.get(client, 0) - size
        if own > 0:
            self._held_by[client] = own
        else:
            self._held_by.pop(client, None)

    async def read(self, protocol: HTTPProtocol, request: Request, hold: Hold, *, limit: int) -> bytes:
        """The content of a request's body, without its encoding. ``hold`` grows as it arrives.

        Raises:
            Refused: it has more than ``limit`` bytes, does not arrive in time, is not encoded as it says, or there is
                no memory for it now.
        """
        body = await self._in_time(_receive(protocol, request.header("content-length"), hold, limit=limit))
        content = content_of(request, body, limit=limit)
        if content is not body:
            hold.grow(len(content))
        return content

    async def discard(self, protocol: HTTPProtocol, request: Request, hold: Hold) -> None:
        """Read a body that nobody wants, and keep nothing: many clients look at the answer only after their request.

        One that is too long for that, or does not arrive in time, is left where it is.
        """
        try:
            await self._in_time(_skip(protocol, request.header("content-length"), hold))
        except Refused:
            return

    async def _in_time(self, receiving: Coroutine[None, None, T]) -> T:
        """Wait for what arrives from the client.

        Raises:
            Refused: it does not arrive in time.
        """
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - only tasks await
        self._arriving[task] = asyncio.get_running_loop().time()
        try:
            return await receiving
        except asyncio.CancelledError:
            if task not in self._late:
                raise
            self._late.discard(task)
            task.uncancel()
            detail = f"the body did not arrive within {ARRIVAL_SECONDS:g} s: send the request again"
            raise Refused(Problem(408, detail, "timeout")) from None
        finally:
            del self._arriving[task]

    async def watch(self) -> None:
        """Give up bodies that take too long, until cancelled. (A timer for each would cost each request more.)"""
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            oldest = asyncio.get_running_loop().time() - ARRIVAL_SECONDS
            late = [task for task, since in self._arriving.items() if since < oldest and task not in self._late]
            for task in late:
                self._late.add(task)
                task.cancel()


async def _receive(protocol: HTTPProtocol, content_length: str | None, hold: Hold, *, limit: int) -> bytes:
    if content_length is not None and content_length.isdigit() and int(content_length) <= SMALL_BODY_BYTES:
        body: bytes = await protocol()
        hold.has_arrived = True
        hold.grow(len(body))
        return body
    hold.share = SHARE_OF_LARGE_BODIES
    return await _read_parts(protocol, content_length, hold, limit=limit)


async def _skip(protocol: HTTPProtocol, content_length: str | None, hold: Hold) -> None:
    if content_length is not None and int(content_length) > DISCARDED_BYTES:
        return
    size = 0
    async for part in protocol:
        size += len(part)
        if size > DISCARDED_BYTES:
            return
    hold.has_arrived = True


async def _read_parts(protocol: HTTPProtocol, content_length: str | None, hold: Hold, *, limit: int) -> bytes:
    if content_length is not None and int(content_length) > DISCARDED_BYTES:
        raise too_large(limit)
    parts, size = [], 0
    async for part in protocol:
        size += len(part)
        if size <= limit:
            hold.grow(len(part))
            parts.append(part)
        elif size > DISCARDED_BYTES:
            break
        else:
            parts.clear()
    else:
        hold.has_arrived = True
    if size > limit:
        raise too_large(limit)
    return b"".join(parts)
