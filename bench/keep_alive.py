"""A client of raw HTTP/1.1 over connections that stay open, which costs little enough to send thousands a second."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cloudscale.tasks import gather_all

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

LENGTH = b"content-length: "
ANSWER_SECONDS = 30.0


def request_of(body: bytes, *, authorization: str = "") -> bytes:
    """One POST of an event."""
    header = f"Authorization: Bearer {authorization}\r\n" if authorization else ""
    head = f"POST /api/v1/events HTTP/1.1\r\nHost: bench\r\n{header}Content-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


@dataclass
class Answers:
    """Statuses of the answers, and the milliseconds that each took from when its request was due."""

    statuses: Counter[int] = field(default_factory=Counter)
    milliseconds: list[float] = field(default_factory=list)

    def percentile(self, share: float) -> float:
        """The time within which this share of the answers came."""
        ordered = sorted(self.milliseconds)
        return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 2)


class Connection:
    """One connection; requests that are sent together are answered in their order."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, port: int, *, source: str = "127.0.0.1") -> Connection:
        """A connection to 127.0.0.1 from an address of 127.0.0.0/8."""
        return cls(*await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0)))

    async def send(self, requests: Sequence[bytes]) -> list[int]:
        """The statuses of the answers to some requests."""
        self._writer.write(b"".join(requests))
        async with asyncio.timeout(ANSWER_SECONDS):
            return [await self._read() for _ in requests]

    async def _read(self) -> int:
        head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        start = head.index(LENGTH) + len(LENGTH)
        await self._reader.readexactly(int(head[start : head.index(b"\r\n", start)]))
        return int(head[9:12])

    async def close(self) -> None:
        """Close it."""
        self._writer.close()
        await self._writer.wait_closed()


async def send_at_rate(
    port: int, request: Callable[[int], bytes], *, count: int, per_second: float, connections: int = 64
) -> Answers:
    """Send ``count`` requests, each when it is due, whatever the server does (an open loop)."""
    answers, numbers = Answers(), iter(range(count))
    began = time.perf_counter() + 0.2

    async def work() -> None:
        connection = await Connection.open(port)
        for number in numbers:
            due = began + number / per_second
            if (pause := due - time.perf_counter()) > 0:
                await asyncio.sleep(pause)
            (status,) = await connection.send([request(number)])
            answers.statuses[status] += 1
            answers.milliseconds.append((time.perf_counter() - due) * 1000)
        await connection.close()

    await gather_all(work() for _ in range(connections))
    return answers


async def send_from_many_addresses(
    port: int, request: Callable[[int], bytes], *, count: int, at_once: int, addresses: int, tasks: int = 16
) -> Counter[int]:
    """Send ``count`` requests as fast as they are answered, ``at_once`` on a connection of its own address each."""
    statuses: Counter[int] = Counter()
    firsts = iter(range(0, count, at_once))

    async def work() -> None:
        for first in firsts:
            place = first // at_once % addresses
            connection = await Connection.open(port, source=f"127.{1 + (place >> 16)}.{place >> 8 & 255}.{place & 255}")
            numbers = range(first, min(first + at_once, count))
            statuses.update(await connection.send([request(number) for number in numbers]))
            await connection.close()

    await gather_all(work() for _ in range(tasks))
    return statuses
