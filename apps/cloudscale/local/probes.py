"""Readiness and liveness probes of processes.

Written on bare streams on purpose: the supervisor runs for as long as the pipeline does and should cost next to
nothing, and an HTTP client library would double its memory for these few requests.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Protocol

PROBE_SECONDS = 5.0
_LONGEST_ANSWER = 64 * 1024


class Probe(Protocol):
    """One question; every implementation answers within :data:`PROBE_SECONDS`."""

    async def succeeds(self) -> bool:
        """Whether the process answered as it should."""
        ...


@dataclass(frozen=True)
class TcpProbe:
    """Something accepts connections on every one of these ports."""

    host: str
    ports: tuple[int, ...]

    async def succeeds(self) -> bool:
        """Whether all the ports accept connections."""
        for port in self.ports:
            if await _exchange(self.host, port, request=b"") is None:
                return False
        return True


@dataclass(frozen=True)
class HttpProbe:
    """``GET path`` is answered with a status below ``below``."""

    host: str
    port: int
    path: str
    below: int = 300
    within_seconds: float = PROBE_SECONDS

    async def succeeds(self) -> bool:
        """Whether the answer came and had such a status."""
        request = f"GET {self.path} HTTP/1.1\r\nHost: {self.host}:{self.port}\r\nConnection: close\r\n\r\n"
        answer = await _exchange(self.host, self.port, request=request.encode(), within_seconds=self.within_seconds)
        version, _, rest = (answer or b"").partition(b" ")
        return version.startswith(b"HTTP/1.") and rest[:3].isdigit() and int(rest[:3]) < self.below


@dataclass(frozen=True)
class RedisProbe:
    """A Redis has loaded its data and takes this password."""

    host: str
    port: int
    password: str

    async def succeeds(self) -> bool:
        """Whether it answered PONG."""
        answer = await _exchange(self.host, self.port, request=f"AUTH {self.password}\r\nPING\r\n".encode())
        return answer is not None and answer.startswith(b"+OK\r\n") and b"+PONG" in answer


async def _exchange(host: str, port: int, *, request: bytes, within_seconds: float = PROBE_SECONDS) -> bytes | None:
    """Connect, send ``request`` and read the first line or two of the answer; None if that was not possible."""
    try:
        async with asyncio.timeout(within_seconds):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                if not request:
                    return b""
                writer.write(request)
                await writer.drain()
                answer = b""
                # Two lines hold all that a probe looks at: the status line, or Redis' answers to two commands.
                while answer.count(b"\r\n") < 2 and len(answer) < _LONGEST_ANSWER:
                    chunk = await reader.read(4096)
                    if not chunk:
                        break
                    answer += chunk
                return answer
            finally:
                writer.transport.abort()
    except (OSError, TimeoutError):
        return None
