"""Reads the bodies of requests within bounds of size, of time and of memory.

The server hands a request over as soon as its headers are there, so it is here that a large, a slow or a crowd of
bodies is kept from taking the process down.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from cloudscale.ingestion.problems import Problem
from cloudscale.ingestion.requests import Refused, too_large

if TYPE_CHECKING:
    from granian._granian import RSGIHTTPProtocol as HTTPProtocol

DISCARDED_BYTES = 16 * 1024 * 1024
"""A body that is too large is still read to its end up to here, because many clients look at the answer only then."""

HELD_BYTES = 24 * 1024 * 1024
"""Bodies that one process holds at once. Decoded and enriched they take some eight times as much."""

ARRIVAL_SECONDS = 30.0
SWEEP_SECONDS = 1.0


class Bodies:
    """The bodies that one process is reading or working on."""

    def __init__(self) -> None:
        self._held = 0
        self._arriving: dict[asyncio.Task[object], float] = {}
        self._late: set[asyncio.Task[object]] = set()

    def reserve(self, content_length: str | None, limit: int) -> int | None:
        """Memory for a body of ``content_length`` bytes, which :meth:`release` gives back; None if too much is held.

        A body without a length may have up to ``limit`` bytes.
        """
        size = min(int(content_length), limit) if content_length is not None and content_length.isdigit() else limit
        if self._held + size > HELD_BYTES:
            return None
        self._held += size
        return size

    def release(self, size: int) -> None:
        """Give back what was reserved."""
        self._held -= size

    async def read(self, protocol: HTTPProtocol, content_length: str | None, limit: int) -> bytes:
        """The body.

        Raises:
            Refused: it has more than ``limit`` bytes, or does not arrive in time.
        """
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - only tasks await
        self._arriving[task] = asyncio.get_running_loop().time()
        try:
            if content_length is not None and content_length.isdigit() and int(content_length) <= limit:
                body: bytes = await protocol()
                return body
            return await _read_parts(protocol, content_length, limit)
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


async def _read_parts(protocol: HTTPProtocol, content_length: str | None, limit: int) -> bytes:
    if content_length is not None and int(content_length) > DISCARDED_BYTES:
        raise too_large(limit)
    parts, size = [], 0
    async for part in protocol:
        size += len(part)
        if size <= limit:
            parts.append(part)
        elif size > DISCARDED_BYTES:
            break
        else:
            parts.clear()
    if size > limit:
        raise too_large(limit)
    return b"".join(parts)
