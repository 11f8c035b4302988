"""``cloudscale dlq`` on dead letters that a worker has made."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import msgspec
import pytest
from tests.servers.cosmos import cosmos_server
from tests.servers.redis import redis_server
from tests.servers.servicebus import servicebus_server
from tests.worker.harness import Backends, Harness, page_view

from cloudscale.cache.keys import keys_of
from cloudscale.ledger.audit import Audit
from cloudscale.settings import as_environment

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

UNKNOWN_TYPE = "order_shipped"
SCHEMA = {"required": ["orderId"], "properties": {"orderId": {"type": "string"}}}


@pytest.fixture(scope="module")
def backends(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backends]:
    with (
        servicebus_server(tmp_path_factory.mktemp("broker")) as broker,
        cosmos_server(tmp_path_factory.mktemp("cosmos")) as cosmos,
        redis_server(tmp_path_factory.mktemp("redis")) as redis,
    ):
        yield Backends(broker, cosmos, redis)


@pytest.fixture
async def harness(backends: Backends, tmp_path: Path) -> AsyncIterator[Harness]:
    async with Harness(backends, tmp_path) as opened:
        yield opened


async def dlq(harness: Harness, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command for this pipeline, as a user does for one that runs elsewhere."""
    harness.write_resource()
    return await asyncio.to_thread(
        subprocess.run,
        (sys.executable, "-m", "cloudscale.commands.cli", "dlq", *arguments),
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
        env={**os.environ, **as_environment(harness.settings)},
    )


async def bury(harness: Harness, count: int) -> list[int]:
    """Have a worker dead-letter events of a type that the pipeline does not have yet; their sequence numbers."""
    events = await harness.accept([page_view(orderId=f"o-{number}") for number in range(count)])
    for event in events:
        event["eventType"] = UNKNOWN_TYPE
    async with harness.worker():
        await harness.send(events)
        letters = await harness.dead(count)
        await harness.settled()
    return [letter.sequence_number for letter in letters]


async def test_dead_letters_are_listed_shown_replayed_and_discarded(harness: Harness) -> None:
    numbers = await bury(harness, 3)

    listed = (await dlq(harness, "list")).stdout.splitlines()
    assert [line.split("\t")[:3] for line in listed] == [[str(number), "UnknownEventType", "1"] for number in numbers]
    (second,) = msgspec.json.decode(
        (await dlq(harness, "list", "--json", "--after", str(numbers[0]), "--limit", "1")).stdout
    )
    shown = msgspec.json.decode((await dlq(harness, "show", str(numbers[1]))).stdout)
    assert shown == second
    (event,) = shown["body"]
    assert event["orderId"] in {"o-0", "o-1", "o-2"}
    assert event["eventId"] in listed[1]

    # What was wrong is mended: the pipeline learns the type, and its worker is rolled.
    harness.event_types = [{"name": UNKNOWN_TYPE, "schema": SCHEMA}]
    async with harness.worker():
        assert (await dlq(harness, "replay", str(numbers[1]))).stdout == "1 replayed\n"
        (stored,) = await harness.stored(1)
        await harness.settled()
    assert (stored["id"], stored["orderId"]) == (event["id"], event["orderId"])
    assert await harness.counter("dead") == 2

    gone = await dlq(harness, "replay", str(numbers[1]))
    assert gone.stdout == "0 replayed\n"
    assert "1 of the numbers name no dead letter" in gone.stderr
    assert gone.returncode == 1
    assert (await dlq(harness, "discard", str(numbers[0]))).stdout == "1 discarded\n"
    assert [line.split("\t")[0] for line in (await dlq(harness, "list")).stdout.splitlines()] == [str(numbers[2])]
    assert (await dlq(harness, "discard", "--all")).stdout == "1 discarded\n"
    assert (await dlq(harness, "list")).stdout == "no dead letters\n"

    recorded = await Audit(harness.cache, keys_of(harness.resource)).newest()
    assert [(entry.act, entry.what, entry.outcome) for entry in recorded[:4]] == [
        ("discard", "all dead letters", "1 done"),
        ("discard", "all dead letters", "asked for"),
        ("discard", str(numbers[0]), "1 done"),
        ("discard", str(numbers[0]), "asked for"),
    ]
    assert all(entry.who.endswith("(command line)") for entry in recorded)


async def test_a_number_that_is_not_there_is_an_error_with_what_to_do(harness: Harness) -> None:
    result = await dlq(harness, "show", "17")

    assert result.returncode == 1
    assert result.stderr == "error: there is no dead letter 17: `cloudscale dlq list` names those that are there\n"
