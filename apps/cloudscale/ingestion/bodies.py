"""Reads the bodies of requests within bounds of size, of time and of memory.

The server hands a request over as soon as its headers are there, so it is here that a large, a slow or a crowd of
bodies is kept from taking the process down. What counts is what has arrived: a length that is only declared reserves
nothing, or a few idle connections could keep everybody else out.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from cloudscale.ingestion.answers import unavailable
from cloudscale.ingestion.content import content_of, too_large
from cloudscale.ingestion.problems import Kind, Problem, Refused

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from granian._granian import RSGIHTTPProtocol as HTTPProtocol

    from cloudscale.ingestion.requests import Request

T = TypeVar("T")

DISCARDED_BYTES = 16 * 1024 * 1024
"""A body that is too large is still read to its end up to here, because many clients look at the answer only then."""


@dataclass(frozen=True, kw_only=True)
class BodyLimits:
    """How much of a process's memory and time the bodies of requests may take."""

    held_bytes: int = 24 * 1024 * 1024
    """Bodies that one process holds at once. Decoded and enriched they take some eight times as much."""
    held_bytes_per_client: int = 12 * 1024 * 1024
    """Of these at the most for one address, so that a client whose bodies never end leaves room for the others'."""
    share_of_large_bodies: float = 0.75
    """Of ``held_bytes``, for large bodies; the rest is always there for single events."""
    large_body_bytes: int = 64 * 1024
    """A body that declares more is a large one; so is one that does not say how long it is."""
    small_body_bytes: int = 8 * 1024
    """A body that declares no more is read at once and counted when it is there: until then the server holds no more
    of it than it has for reading a connection anyway."""
    arrival_seconds: float = 30.0
    """A body that takes longer is given up."""
    slow_seconds: float = 2.0
    """A body that takes longer is slow; what one sender's machine or network does to a request takes less."""
    slow_bodies_per_client: int = 64
    slow_bodies: int = 1024
    """Slow bodies that one process waits for at once. Beyond this those that began first are given up."""
    sweep_seconds: float = 1.0
    """Pause between two checks for bodies that are slow."""


class BodyMemory:
    """What one request's body holds of the process's memory, until it is released."""

    __slots__ = ("_bodies", "_size", "client", "has_arrived", "has_begun", "share")

    def __init__(self, bodies: Bodies, client: str) -> None:
        self.client = client
        self.has_begun = False
        """Whether reading has begun: it can begin only once."""
        self.has_arrived = False
        """Whether the body was read to its end."""
        self.share = 1.0
        """How much of the process's memory for bodies may be taken when this one grows."""
        self._bodies = bodies
        self._size = 0

    def grow(self, size: int) -> None:
        """Take ``size`` more bytes.

        Raises:
            Refused: this client, or all together, hold as much as they may.
        """
        self._bodies.take(self.client, size, share=self.share)
        self._size += size

    def release(self) -> None:
        """Give everything back."""
        self._bodies.give_back(self.client, self._size)
        self._size = 0


class Bodies:
    """The bodies that one process is reading or working on."""

    def __init__(self, limits: BodyLimits = BodyLimits()) -> None:
        self.limits = limits
        self._held = 0
        self._held_by: dict[str, int] = {}
        self._arriving: dict[asyncio.Task[object], tuple[float, str]] = {}
        """The time at which each began and its client, in the order of beginning."""
        self._given_up: dict[asyncio.Task[object], str] = {}
        """What their clients are told."""

    def memory_for(self, client: str) -> BodyMemory:
        """Memory for the body of a request from ``client``, an address: none yet."""
        return BodyMemory(self, client)

    def take(self, client: str, size: int, *, share: float) -> None:
        """Count ``size`` more bytes as held, if that leaves no more than ``share`` of the memory taken.

        Raises:
            Refused: this client, or all together, hold as much as they may.
        """
        own = self._held_by.get(client, 0) + size
        if own > self.limits.held_bytes_per_client or self._held + size > share * self.limits.held_bytes:
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

    async def read(self, protocol: HTTPProtocol, request: Request, memory: BodyMemory, *, limit: int) -> bytes:
        """The content of a request's body, without its encoding. ``memory`` grows as it arrives.

        Raises:
            Refused: it has more than ``limit`` bytes or fewer than it says, does not arrive in time, is not encoded as
                it says, or there is no memory for it now.
        """
        body = await self._in_time(
            self._receive(protocol, request.header("content-length"), memory, limit=limit), memory
        )
        content = content_of(request, body, limit=limit)
        if content is not body:
            memory.grow(len(content))
        return content

    async def discard(self, protocol: HTTPProtocol, request: Request, memory: BodyMemory) -> None:
        """Read a body that nobody wants, and keep nothing: many clients look at the answer only after their request.

        One that is too long for that, does not arrive in time, or was read in part before, is left where it is.
        """
        if memory.has_begun:
            return
        try:
            await self._in_time(_skip(protocol, request.header("content-length"), memory), memory)
        except Refused:
            return

    async def _in_time(self, receiving: Coroutine[None, None, T], memory: BodyMemory) -> T:
        """Wait for what arrives from the client.

        Raises:
            Refused: it does not arrive in time.
        """
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - only tasks await
        self._arriving[task] = (asyncio.get_running_loop().time(), memory.client)
        memory.has_begun = True
        try:
            return await receiving
        except asyncio.CancelledError:
            detail = self._given_up.pop(task, None)
            if detail is None:
                raise
            task.uncancel()
            raise Refused(Problem(Kind.TOO_SLOW, detail, "timeout")) from None
        finally:
            del self._arriving[task]

    async def watch(self) -> None:
        """Give up bodies that take too long, until cancelled: a timer for each body would cost each request more."""
        while True:
            await asyncio.sleep(self.limits.sweep_seconds)
            for task, detail in self._find_overdue(asyncio.get_running_loop().time()):
                self._given_up[task] = detail
                task.cancel()

    def _find_overdue(self, now: float) -> list[tuple[asyncio.Task[object], str]]:
        """The bodies to give up at the loop's time ``now``, and why."""
        limits = self.limits
        slow = [
            (task, began, client)
            for task, (began, client) in self._arriving.items()
            if began < now - limits.slow_seconds and task not in self._given_up
        ]
        left, left_of = len(slow), Counter(client for _, _, client in slow)
        overdue = []
        for task, began, client in slow:
            if began < now - limits.arrival_seconds:
                detail = f"the body did not arrive within {limits.arrival_seconds:g} s: send the request again"
            elif left_of[client] > (most := limits.slow_bodies_per_client):
                detail = f"more than {most} bodies of this client arrive slowly: send fewer at once"
            elif left > limits.slow_bodies:
                detail = f"more than {limits.slow_bodies} bodies arrive slowly: send the request again"
            else:
                continue
            overdue.append((task, detail))
            left -= 1
            left_of[client] -= 1
        return overdue

    async def _receive(
        self, protocol: HTTPProtocol, content_length: str | None, memory: BodyMemory, *, limit: int
    ) -> bytes:
        length = int(content_length) if content_length is not None and content_length.isdigit() else None
        if length is not None and length <= self.limits.small_body_bytes:
            body: bytes = await protocol()
            memory.has_arrived = True
            memory.grow(len(body))
            return body
        if length is None or length > self.limits.large_body_bytes:
            memory.share = self.limits.share_of_large_bodies
        return await _read_parts(protocol, length, memory, limit=limit)


async def _skip(protocol: HTTPProtocol, content_length: str | None, memory: BodyMemory) -> None:
    if content_length is not None and int(content_length) > DISCARDED_BYTES:
        return
    size = 0
    async for part in protocol:
        size += len(part)
        if size > DISCARDED_BYTES:
            return
    memory.has_arrived = True


async def _read_parts(protocol: HTTPProtocol, length: int | None, memory: BodyMemory, *, limit: int) -> bytes:
    if length is not None and length > DISCARDED_BYTES:
        raise too_large(limit)
    parts, size = [], 0
    async for part in protocol:
        size += len(part)
        if size <= limit:
            memory.grow(len(part))
            parts.append(part)
        elif size > DISCARDED_BYTES:
            break
        else:
            parts.clear()
    else:
        # A connection that breaks ends the parts as a whole body does.
        memory.has_arrived = length is None or size >= length
    if size > limit:
        raise too_large(limit)
    if not memory.has_arrived:
        raise Refused(
            Problem(Kind.INVALID, f"the body ended after {size} of {length} bytes: send the request again", "body")
        )
    return b"".join(parts)
