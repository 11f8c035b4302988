from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest
from azure.servicebus import ServiceBusSubQueue
from azure.servicebus._transport._pyamqp_transport import PyamqpTransport
from structlog.testing import capture_logs

from cloudscale.errors import BackendUnavailableError, ConfigurationError, CredentialError
from cloudscale.pipeline import Queue
from cloudscale.queue import receiver as receiver_module
from cloudscale.queue.connection import NO_KEEP_ALIVE, open_client
from cloudscale.queue.receiver import MessageReceiver, body_of, seconds_left
from cloudscale.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

    from tests.queue.line import Line
    from tests.servers.servicebus import ServiceBusServer


async def seconds_to_complete(line: Line, count: int, *, at_once: int) -> float:
    """How long a message takes to be completed, when they are fetched ahead and handed out so many at once."""
    await line.send(*map(str, range(count)))
    seconds, left = 0.0, count
    async with line.receiver(prefetch=50) as receiver:
        while left:
            messages = await receiver.receive(at_once)
            left -= len(messages)
            # What was fetched ahead arrives meanwhile, as it does while a worker stores events.
            await asyncio.sleep(0.01)
            started = time.perf_counter()
            await receiver.complete(messages)
            seconds += time.perf_counter() - started
    return seconds / count


async def test_to_complete_many_at_once_takes_no_longer_than_one_by_one(line: Line) -> None:
    one_by_one = await seconds_to_complete(line, 40, at_once=1)
    assert await seconds_to_complete(line, 320, at_once=16) < 3 * one_by_one


async def test_what_is_there_is_received_at_once_up_to_the_limit(line: Line) -> None:
    await line.send(*map(str, range(8)))
    async with line.receiver(prefetch=20) as receiver:
        first = await receiver.receive(5)
        rest = await receiver.receive(5)
        assert [body_of(message).decode() for message in first + rest] == list("01234567")
        assert len(first) == 5
        await receiver.complete(first + rest)
    assert (await line.depth()).active == 0


async def test_an_empty_queue_gives_nothing_after_a_while(line: Line) -> None:
    async with line.receiver() as receiver:
        assert await receiver.receive(5) == []


async def test_a_message_that_arrives_while_waiting_is_received(line: Line) -> None:
    async with line.receiver(prefetch=5) as receiver:
        waiting = asyncio.create_task(receiver.receive(1))
        await line.send("late")
        messages = await waiting or await receiver.receive(1)
        assert [body_of(message) for message in messages] == [b"late"]


async def test_closing_gives_back_what_was_fetched_ahead_without_counting_a_delivery(line: Line) -> None:
    await line.send(*map(str, range(6)))
    for _ in range(3):
        async with line.receiver(prefetch=20) as receiver:
            (message,) = await receiver.receive(1)
            await receiver.complete([message])
    depth = await line.depth()
    assert (depth.active, depth.dead_letters) == (3, 0)


async def test_a_released_message_comes_again_as_often_as_it_takes(line: Line) -> None:
    await line.send("good")
    async with line.receiver() as receiver:
        for _ in range(4):
            messages = await receiver.receive(1)
            assert [body_of(message) for message in messages] == [b"good"]
            await receiver.release(messages)
    depth = await line.depth()
    assert (depth.active, depth.dead_letters) == (1, 0)


async def test_messages_of_a_connection_that_is_gone_are_left_to_their_locks(line: Line) -> None:
    await line.send("good")
    async with line.receiver() as receiver:
        messages = await receiver.receive(1)
        await receiver._receiver._close_handler()  # type: ignore[no-untyped-call]
        with capture_logs() as lines:
            await receiver.release(messages)
    said = str(lines)
    assert "messages not released: their locks will expire" in said
    assert "NoneType" not in said


async def test_no_more_messages_are_received_than_have_the_bytes_asked_for(line: Line) -> None:
    await line.send(*["x" * 1000] * 12)
    async with line.receiver(prefetch=20) as receiver:
        messages = await receiver.receive(100, body_bytes=5000)
        assert len(messages) == 5
        await receiver.complete(messages)


async def test_a_receive_that_waits_by_a_clock_which_is_set_back_ends_and_gives_its_messages_back(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receiver_module, "RECEIVE_SECONDS", 2.0)
    moments = iter([time.time() + 86_400])
    await line.send("first")
    async with line.receiver(prefetch=5) as receiver:
        with monkeypatch.context() as patch:
            patch.setattr(PyamqpTransport, "get_current_time", lambda _handler: next(moments, time.time()))
            with pytest.raises(BackendUnavailableError, match="in time"):
                await receiver.receive(5)
    async with line.receiver() as anew:
        messages = await anew.receive(5)
        assert [body_of(message) for message in messages] == [b"first"]
        await anew.complete(messages)


async def test_an_abandoned_message_comes_again_and_ends_as_dead_letter_at_last(line: Line) -> None:
    await line.send("bad")
    async with line.receiver() as receiver:
        for _ in range(2):
            messages = await receiver.receive(1)
            await receiver.abandon(messages)
    assert (await line.depth()).dead_letters == 1


async def test_a_dead_letter_has_its_reason_and_description(line: Line) -> None:
    await line.send("bad")
    async with line.receiver() as receiver:
        (message,) = await receiver.receive(1)
        await receiver.dead_letter(message, reason="ValidationFailed", description="why")
    async with line.receiver(sub_queue=ServiceBusSubQueue.DEAD_LETTER) as dead:
        (peeked,) = await dead.peek(10)
    assert (peeked.dead_letter_reason, peeked.dead_letter_error_description) == ("ValidationFailed", "why")


async def test_peeking_goes_on_after_a_sequence_number(line: Line) -> None:
    await line.send("a", "b", "c")
    async with line.receiver() as receiver:
        first = await receiver.peek(2)
        rest = await receiver.peek(10, after=first[-1].sequence_number or 0)
        assert await receiver.peek(10, after=rest[-1].sequence_number or 0) == []
    assert [body_of(message) for message in [*first, *rest]] == [b"a", b"b", b"c"]


async def test_locks_are_renewed_as_long_as_the_block_runs(line: Line) -> None:
    await line.send("slow", "slower")
    async with line.receiver() as receiver:
        messages = await receiver.receive(2)
        async with receiver.locked(messages):
            await asyncio.sleep(6.5)
        assert min(map(seconds_left, messages)) > 0
        await receiver.complete(messages)
    assert (await line.depth()).active == 0


async def test_completing_a_message_whose_lock_ran_out_is_harmless(line: Line) -> None:
    await line.send("forgotten")
    async with line.receiver() as receiver:
        (message,) = await receiver.receive(1)
        await asyncio.sleep(5.2)
        await receiver.complete([message])
    assert (await line.depth()).active == 1


async def test_a_receiver_of_a_broker_that_is_away_is_unavailable(tmp_path: Path) -> None:
    nowhere = "Endpoint=sb://127.0.0.1:1;SharedAccessKeyName=k;SharedAccessKey=v;UseDevelopmentEmulator=true"
    settings = Settings(pipeline_file="", redis_url="", servicebus_connection_string=nowhere)
    async with open_client(Queue(), settings, retries=0) as client:
        with pytest.raises(BackendUnavailableError, match="open a receiver"):
            async with MessageReceiver(client, "events", keep_alive_seconds=NO_KEEP_ALIVE):
                raise AssertionError


async def test_a_wrong_key_is_a_credential_error(broker: ServiceBusServer) -> None:
    wrong = broker.connection_string.replace(broker.key, "d3Jvbmc=")
    settings = Settings(pipeline_file="", redis_url="", servicebus_connection_string=wrong)
    async with open_client(Queue(), settings, retries=0) as client:
        with pytest.raises(CredentialError, match="refuses the credential"):
            async with MessageReceiver(client, "events-ingestion", keep_alive_seconds=NO_KEEP_ALIVE):
                raise AssertionError


@pytest.mark.parametrize("text", ["", "Endpoint=;nonsense"])
async def test_without_a_usable_connection_string_the_settings_are_to_blame(text: str) -> None:
    settings = Settings(pipeline_file="", redis_url="", servicebus_connection_string=text)
    with pytest.raises(ConfigurationError):
        async with open_client(Queue(), settings):
            raise AssertionError
