"""Consecutive deliveries are completed by one disposition, whatever becomes of some of them."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from itertools import pairwise
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs
from tests.waiting import wait_until

from cloudscale.queue import range_settlement
from cloudscale.queue.range_settlement import complete_range, ranges
from cloudscale.queue.receiver import body_of

if TYPE_CHECKING:
    import pytest
    from azure.servicebus import ServiceBusReceivedMessage
    from tests.queue.line import Line
    from tests.servers.servicebus import ServiceBusServer

    from cloudscale.queue.receiver import MessageReceiver

COUNT = 40


async def received(receiver: MessageReceiver, count: int) -> list[ServiceBusReceivedMessage]:
    messages: list[ServiceBusReceivedMessage] = []
    while len(messages) < count:
        messages += await receiver.receive(count - len(messages))
    return messages


def link_of(receiver: MessageReceiver) -> Any:
    """The receiver's link in the SDK."""
    return receiver._receiver._handler._link


def sent_dispositions(receiver: MessageReceiver, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int | None]]:
    """The bounds of the dispositions that the receiver sends from now on, as the list grows."""
    link = link_of(receiver)
    sent: list[tuple[int, int | None]] = []
    send = link._outgoing_disposition

    async def noting(first: int, last: int | None, *rest: object) -> None:
        sent.append((first, last))
        await send(first, last, *rest)

    monkeypatch.setattr(link, "_outgoing_disposition", noting)
    return sent


@given(st.lists(st.one_of(st.none(), st.integers(0, 40)), max_size=60))
def test_ranges_are_the_messages_in_order_and_consecutive(numbers: list[int | None]) -> None:
    messages = cast("list[ServiceBusReceivedMessage]", [SimpleNamespace(_delivery_id=number) for number in numbers])

    parts = ranges(messages)

    assert [message for part in parts for message in part] == messages
    for part in parts:
        first = part[0]._delivery_id
        assert len(part) == 1 or [each._delivery_id for each in part] == list(range(first, first + len(part)))
    for before, after in pairwise(parts):
        assert None in (before[-1]._delivery_id, after[0]._delivery_id) or (
            after[0]._delivery_id != before[-1]._delivery_id + 1
        )


async def test_consecutive_messages_are_completed_by_one_disposition(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    await line.send(*map(str, range(COUNT)))
    async with line.receiver(prefetch=COUNT) as receiver:
        messages = await received(receiver, COUNT)
        sent = sent_dispositions(receiver, monkeypatch)

        await receiver.complete(messages)

        assert sent == [(messages[0]._delivery_id, messages[-1]._delivery_id)]
        assert not link_of(receiver)._received_delivery_tags
        assert (await line.depth()).active == 0


async def test_a_message_settled_otherwise_parts_the_range(line: Line) -> None:
    await line.send(*map(str, range(COUNT)))
    async with line.receiver(prefetch=COUNT) as receiver:
        messages = await received(receiver, COUNT)
        await receiver.dead_letter(messages[7], reason="Wrong", description="wrong")

        await receiver.complete([message for message in messages if message is not messages[7]])

    depth = await line.depth()
    assert (depth.active, depth.dead_letters) == (0, 1)


async def test_of_a_range_with_a_lost_lock_the_others_are_completed(line: Line) -> None:
    await line.send("first", "second", "third")
    async with line.receiver(prefetch=3) as receiver:
        messages = await received(receiver, 3)
        await receiver.release([messages[1]])
        link_of(receiver)._received_delivery_tags.add(messages[1]._delivery_tag)

        with capture_logs() as lines:
            await receiver.complete(messages)

        assert [each["event"] for each in lines] == ["messages not settled: they come again"]
        (again,) = await receiver.receive(3)
        assert body_of(again) == b"second"
        await receiver.complete([again])
    assert (await line.depth()).active == 0


async def test_messages_of_a_link_that_is_gone_are_settled_one_by_one(line: Line) -> None:
    await line.send(*map(str, range(3)))
    async with line.receiver(prefetch=3) as receiver:
        messages = await received(receiver, 3)
        await receiver._receiver._close_handler()  # type: ignore[no-untyped-call]

        assert not await complete_range(receiver._receiver, messages)
        await receiver.complete(messages)


async def test_a_broker_that_confirms_no_range_is_asked_for_each_message_from_then_on(
    line: Line, broker: ServiceBusServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(range_settlement, "OUTCOME_SECONDS", 0.2)
    await line.send(*map(str, range(6)))
    async with line.receiver(prefetch=6) as receiver:
        messages = await received(receiver, 6)
        broker.set_faults(dropAcknowledgements=True)
        try:
            with capture_logs() as lines:
                await receiver.complete(messages[:3])
        finally:
            broker.set_faults()
        assert any("messages perhaps not settled" in each["event"] for each in lines)
        sent = sent_dispositions(receiver, monkeypatch)

        await receiver.complete(messages[3:])

        assert [last for _, last in sent] == [None, None, None]

        async def is_empty() -> bool:
            return (await line.depth()).active == 0

        await wait_until(is_empty, within=timedelta(seconds=10))


async def test_completing_a_range_is_cheaper_than_one_by_one(line: Line) -> None:
    async def seconds(*, one_by_one: bool) -> float:
        await line.send(*map(str, range(200)))
        async with line.receiver(prefetch=200) as receiver:
            messages = await received(receiver, 200)
            receiver._completes_ranges = not one_by_one
            started = asyncio.get_running_loop().time()
            await receiver.complete(messages)
            return asyncio.get_running_loop().time() - started

    assert await seconds(one_by_one=False) < await seconds(one_by_one=True) / 2
