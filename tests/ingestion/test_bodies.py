"""Bodies that are large, slow or many do not take the process down."""

from __future__ import annotations

import asyncio
import gzip
from typing import TYPE_CHECKING, Any

import pytest

from cloudscale.ingestion import bodies as module
from cloudscale.ingestion.bodies import Bodies, BodyLimits
from cloudscale.ingestion.problems import Refused
from cloudscale.ingestion.requests import Request
from cloudscale.limits.rates import Sender

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Upload:
    """Granian's side of a request's body; without parts it never arrives."""

    def __init__(self, *parts: bytes) -> None:
        self.parts = parts

    async def __call__(self) -> bytes:
        if not self.parts:
            await asyncio.Event().wait()
        return b"".join(self.parts)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for part in self.parts:
            yield part


def request_of(client: str = "192.0.2.1", **headers: str) -> Request:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return Request(
        "/api/events", given.get, given.__contains__, given.items, given.keys, client, client, 0.0, Sender(client)
    )


def request_with(content_length: str | None) -> Request:
    return request_of() if content_length is None else request_of(content_length=content_length)


async def read(upload: Any, content_length: str | None, limit: int = 10) -> bytes:
    bodies = Bodies()
    return await bodies.read(upload, request_with(content_length), bodies.memory_for("192.0.2.1"), limit=limit)


@pytest.mark.parametrize("content_length", ["4", None])
async def test_a_body_within_the_limit_is_read(content_length: str | None) -> None:
    assert await read(Upload(b"ab", b"cd"), content_length) == b"abcd"


@pytest.mark.parametrize("content_length", ["11", None])
async def test_a_body_beyond_the_limit_is_refused(content_length: str | None) -> None:
    with pytest.raises(Refused) as refused:
        await read(Upload(b"x" * 8, b"y" * 3), content_length)
    assert refused.value.problem.status == 413


async def test_a_body_that_says_it_is_huge_is_not_read_at_all() -> None:
    with pytest.raises(Refused) as refused:
        await read(Upload(), str(module.DISCARDED_BYTES + 1))
    assert refused.value.problem.status == 413


async def test_a_body_that_turns_out_huge_is_read_no_further() -> None:
    upload = Upload(*[b"x" * 1024 * 1024] * 40)
    taken = 0

    class Counted(Upload):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            nonlocal taken
            for part in upload.parts:
                taken += len(part)
                yield part

    with pytest.raises(Refused):
        await read(Counted(), None)
    assert taken <= module.DISCARDED_BYTES + 1024 * 1024


async def test_a_body_that_does_not_arrive_is_given_up() -> None:
    bodies = Bodies(BodyLimits(arrival_seconds=0.05, sweep_seconds=0.01))
    watch = asyncio.create_task(bodies.watch())
    upload: Any = Upload()
    with pytest.raises(Refused) as refused:
        await bodies.read(upload, request_with("5"), bodies.memory_for("192.0.2.1"), limit=10)
    assert refused.value.problem.status == 408
    # The request goes on to its answer.
    await asyncio.sleep(0)
    watch.cancel()


async def test_a_request_that_is_cancelled_by_others_stays_cancelled() -> None:
    upload: Any = Upload()
    reading = asyncio.create_task(read(upload, "5"))
    await asyncio.sleep(0)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading


def assert_refused_for_memory(refused: pytest.ExceptionInfo[Refused]) -> None:
    assert refused.value.problem.status == 503
    assert refused.value.problem.reason == "memory"


async def test_a_length_that_is_only_announced_holds_nothing() -> None:
    bodies = Bodies(BodyLimits(held_bytes=1000, held_bytes_per_client=1000, small_body_bytes=100))
    silent: Any = Upload()
    reading = [
        asyncio.create_task(bodies.read(silent, request_with(length), bodies.memory_for("192.0.2.1"), limit=1000))
        for length in ("1000", "1000", "90", "90")
    ]
    await asyncio.sleep(0)
    upload: Any = Upload(b"x" * 700)
    assert await bodies.read(upload, request_with("700"), bodies.memory_for("192.0.2.2"), limit=1000) == b"x" * 700
    for task in reading:
        task.cancel()
    await asyncio.gather(*reading, return_exceptions=True)


async def test_large_bodies_leave_room_for_single_events() -> None:
    bodies = Bodies(BodyLimits(held_bytes=1000, held_bytes_per_client=1000, small_body_bytes=50, large_body_bytes=100))
    large, another, small = (Upload(b"x" * size) for size in (750, 101, 100))

    async def read_one(upload: Any) -> bytes:
        length = str(len(upload.parts[0]))
        return await bodies.read(upload, request_with(length), bodies.memory_for("192.0.2.1"), limit=1000)

    await read_one(large)
    with pytest.raises(Refused) as refused:
        await read_one(another)
    assert_refused_for_memory(refused)
    await read_one(small)
    await read_one(small)


async def test_a_body_that_nobody_wants_is_read_and_not_held() -> None:
    bodies = Bodies(BodyLimits(held_bytes=1))
    memory = bodies.memory_for("192.0.2.1")
    upload: Any = Upload(b"x" * 500, b"y" * 500)
    await bodies.discard(upload, request_with("1000"), memory)
    assert memory.has_arrived
    memory.grow(1)


def test_memory_is_held_up_to_a_bound_and_given_back() -> None:
    bodies = Bodies(BodyLimits(held_bytes=100, held_bytes_per_client=100))
    first, second = bodies.memory_for("192.0.2.1"), bodies.memory_for("192.0.2.2")
    first.grow(60)
    with pytest.raises(Refused) as refused:
        second.grow(41)
    assert_refused_for_memory(refused)
    first.release()
    second.grow(100)


def test_one_client_leaves_room_for_the_others() -> None:
    bodies = Bodies(BodyLimits(held_bytes=100, held_bytes_per_client=50))
    greedy = [bodies.memory_for("192.0.2.1") for _ in range(2)]
    greedy[0].grow(50)
    with pytest.raises(Refused) as refused:
        greedy[1].grow(1)
    assert_refused_for_memory(refused)
    bodies.memory_for("192.0.2.2").grow(50)


async def test_a_body_without_a_length_holds_what_has_arrived() -> None:
    bodies = Bodies(BodyLimits(held_bytes_per_client=10))
    for _ in range(3):
        # Each may have ten bytes, and none is refused for what it could have had.
        upload: Any = Upload(b"abc")
        await bodies.read(upload, request_of(), bodies.memory_for("192.0.2.1"), limit=10)
    too_much: Any = Upload(b"de")
    with pytest.raises(Refused) as refused:
        await bodies.read(too_much, request_of(), bodies.memory_for("192.0.2.1"), limit=10)
    assert_refused_for_memory(refused)


async def test_a_compressed_body_holds_what_it_unpacks_to() -> None:
    bodies = Bodies(BodyLimits(held_bytes_per_client=1000))
    packed = gzip.compress(b"0" * 950)
    upload: Any = Upload(packed)
    request = request_of(content_length=str(len(packed)), content_encoding="gzip")
    memory = bodies.memory_for("192.0.2.1")
    assert await bodies.read(upload, request, memory, limit=1000) == b"0" * 950
    with pytest.raises(Refused) as refused:
        await bodies.read(upload, request, bodies.memory_for("192.0.2.1"), limit=1000)
    assert_refused_for_memory(refused)


async def test_a_body_that_was_not_read_to_its_end_is_known() -> None:
    bodies = Bodies()
    huge, small = bodies.memory_for("192.0.2.1"), bodies.memory_for("192.0.2.1")
    upload: Any = Upload(b"abc")
    with pytest.raises(Refused):
        await bodies.read(upload, request_with(str(module.DISCARDED_BYTES + 1)), huge, limit=10)
    await bodies.read(upload, request_of(), small, limit=10)
    assert (huge.has_arrived, small.has_arrived) == (False, True)


async def test_a_body_that_ends_early_is_refused() -> None:
    bodies = Bodies(BodyLimits(small_body_bytes=2))
    memory = bodies.memory_for("192.0.2.1")
    upload: Any = Upload(b"abc")
    with pytest.raises(Refused) as refused:
        await bodies.read(upload, request_with("4"), memory, limit=10)
    assert (refused.value.problem.status, memory.has_arrived) == (400, False)


async def test_a_body_that_was_read_in_part_is_not_read_again() -> None:
    bodies = Bodies()
    memory = bodies.memory_for("192.0.2.1")
    unreadable: Any = None
    with pytest.raises(Refused):
        await bodies.read(Upload(b"x" * 11), request_of(), memory, limit=10)  # type: ignore[arg-type]
    await bodies.discard(unreadable, request_of(), memory)


async def test_what_arrives_of_a_middling_body_is_held_before_its_end() -> None:
    bodies = Bodies(BodyLimits(held_bytes_per_client=100_000))
    never = asyncio.Event()

    class Unfinished(Upload):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield b"x" * 60_000
            await never.wait()

    upload: Any = Unfinished()
    first, second = (
        asyncio.create_task(bodies.read(upload, request_with("65536"), bodies.memory_for("192.0.2.1"), limit=100_000))
        for _ in range(2)
    )
    with pytest.raises(Refused) as refused:
        await asyncio.wait_for(second, 5)
    assert_refused_for_memory(refused)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)


async def statuses_of_slow_bodies(limits: BodyLimits, *clients: str) -> list[int | None]:
    """The status that each client is given up with, None for one that is still waited for."""
    bodies = Bodies(limits)
    silent: Any = Upload()
    reading = [
        asyncio.create_task(bodies.read(silent, request_with("5"), bodies.memory_for(client), limit=10))
        for client in clients
    ]
    watch = asyncio.create_task(bodies.watch())
    await asyncio.wait(reading, return_when=asyncio.FIRST_COMPLETED, timeout=5)
    # Those that are given up are so in one turn of the watch.
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    answers: list[int | None] = []
    for task in reading:
        error = task.exception() if task.done() else None
        answers.append(error.problem.status if isinstance(error, Refused) else None)
        task.cancel()
    watch.cancel()
    await asyncio.gather(*reading, watch, return_exceptions=True)
    return answers


async def test_of_one_clients_slow_bodies_the_oldest_are_given_up() -> None:
    statuses = await statuses_of_slow_bodies(
        BodyLimits(slow_seconds=0.02, sweep_seconds=0.05, slow_bodies_per_client=2),
        "192.0.2.1",
        "192.0.2.1",
        "192.0.2.2",
        "192.0.2.1",
        "192.0.2.1",
    )
    assert statuses == [408, 408, None, None, None]


async def test_of_all_slow_bodies_the_oldest_are_given_up() -> None:
    assert await statuses_of_slow_bodies(
        BodyLimits(slow_seconds=0.02, sweep_seconds=0.05, slow_bodies=2), "192.0.2.1", "192.0.2.2", "192.0.2.3"
    ) == [408, None, None]
