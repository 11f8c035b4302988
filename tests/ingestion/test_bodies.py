"""Bodies that are large, slow or many do not take the process down."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from cloudscale.ingestion import bodies as module
from cloudscale.ingestion.bodies import Bodies
from cloudscale.ingestion.requests import Refused

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


async def read(upload: Any, content_length: str | None, limit: int = 10) -> bytes:
    return await Bodies().read(upload, content_length, limit)


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


async def test_a_body_that_does_not_arrive_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ARRIVAL_SECONDS", 0.05)
    monkeypatch.setattr(module, "SWEEP_SECONDS", 0.01)
    bodies = Bodies()
    watch = asyncio.create_task(bodies.watch())
    upload: Any = Upload()
    with pytest.raises(Refused) as refused:
        await bodies.read(upload, "5", 10)
    assert refused.value.problem.status == 408
    # The request goes on to its answer.
    await asyncio.sleep(0)
    watch.cancel()


async def test_a_request_that_is_cancelled_by_others_stays_cancelled() -> None:
    upload: Any = Upload()
    reading = asyncio.create_task(Bodies().read(upload, "5", 10))
    await asyncio.sleep(0)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading


def test_memory_is_held_up_to_a_bound_and_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HELD_BYTES", 100)
    bodies = Bodies()
    first = bodies.reserve("60", 80)
    assert first == 60
    assert bodies.reserve("41", 80) is None
    assert bodies.reserve(None, 80) is None
    bodies.release(first)
    assert bodies.reserve(None, 80) == 80


def test_a_body_holds_no_more_than_its_limit() -> None:
    assert Bodies().reserve("1000", 80) == 80
