"""Reads the bodies of requests within bounds of size, of time and of memory.

The server hands a request over as soon as its headers are there, so it is here that a large, a slow or a crowd of
bodies is kept from taking the process down.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from cloudscale.ingestion.answers import unavailable
from cloudscale.ingestion.problems import Problem
from cloudscale.ingestion.requests import Refused, content_of, too_large

if TYPE_CHECKING:
    from granian._granian import RSGIHTTPProtocol as HTTPProtocol

    from cloudscale.ingestion.requests import Request

DISCARDED_BYTES = 16 * 1024 * 1024
"""A body that is too large is still read to its end up to here, because many clients look at the answer only then."""

HELD_BYTES = 24 * 1024 * 1024
"""Bodies that one process holds at once. Decoded and enriched they take some eight times as much."""

HELD_BYTES_PER_CLIENT = HELD_BYTES // 2
"""Of these at the most for one address, so that a client whose bodies never end leaves room for the others'."""

ARRIVAL_SECONDS = 30.0
SWEEP_SECONDS = 1.0


class Hold:
    """What one request's body holds of the process's memory, until it is released."""

    __slots__ = ("_bodies", "_client", "_size", "has_arrived")

    def __init__(self, bodies: Bodies, client: str) -> None:
        self.has_arrived = False
        """Whether the body was read to its end."""
        self._bodies = bodies
        self._client = client
        self._size = 0

    def grow(self, size: int) -> None:
        """Take ``size`` more bytes.

        Raises:
            Refused: this client, or all together, hold as much as they may.
        """
        self._bodies.take(self._client, size)
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

    def take(self, client: str, size: int) -> None:
        """Count ``size`` more bytes as held.

        Raises:
            Refused: this client, or all together, hold as much as they may.
        """
        own = self._held_by.get(client, 0) + size
        if own > HELD_BYTES_PER_CLIENT or self._held + size > HELD_BYTES:
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
        body = await self._receive(protocol, request.header("content-length"), hold, limit=limit)
        content = content_of(request, body, limit=limit)
        if content is not body:
            hold.grow(len(content))
        return content

    async def _receive(self, protocol: HTTPProtocol, content_length: str | None, hold: Hold, *, limit: int) -> bytes:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - only tasks await
        self._arriving[task] = asyncio.get_running_loop().time()
        try:
            if content_length is not None and content_length.isdigit() and int(content_length) <= limit:
                hold.grow(int(content_length))
                body: bytes = await protocol()
                hold.has_arrived = True
                return body
            return await _read_parts(protocol, content_length, hold, limit=limit)
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
