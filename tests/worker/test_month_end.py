"""Requests on both sides of a month's end, through ingestion, the queue, a worker and the balance.

The store's partitions are months, so a retry that falls into the next one is written to another place.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from tests.ingestion.client import Client
from tests.servers.ingestion import UNLIMITED, ingestion_server
from tests.waiting import wait_until_sync
from tests.worker.harness import PATIENCE, Harness, page_view

from cloudscale.ledger.verification import verify

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    from tests.servers.ingestion import IngestionServer

BESIDE = timedelta(hours=1)


def last_months_end() -> datetime:
    """The last end of a month that is a day ago at least: what is received after it is not in the future."""
    return (datetime.now(UTC) - timedelta(days=1)).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def receiving_at(moment: datetime, harness: Harness, directory: Path) -> AbstractContextManager[IngestionServer]:
    """Ingestion of the harness's pipeline to which it is this moment. An event's names are known for a second."""
    ingestion = {"rateLimits": UNLIMITED, "idempotency": {"timeToLive": "1s"}}
    return ingestion_server(
        directory / f"{moment:%Y-%m}",
        broker=harness.backends.broker,
        cache=harness.backends.redis,
        spec=harness.spec | {"ingestion": ingestion},
        name=harness.name,
        clock_shift=moment - datetime.now(UTC),
    )


async def test_a_retry_over_a_months_end_is_stored_once_and_the_balance_is_whole(
    harness: Harness, tmp_path: Path
) -> None:
    # The balance looks at as many days as the store keeps events.
    harness.storage = {"timeToLive": "0s"}
    end = last_months_end()
    named, unnamed = page_view("named", eventId="e1"), page_view("unnamed")
    key = {"Idempotency-Key": "k1"}

    def accepted(server: IngestionServer, event: dict[str, object], headers: dict[str, str] | None = None) -> str:
        """The id of an event, once it is accepted: until then its names are still known."""
        answers = []

        def is_accepted() -> bool:
            answers.append(Client(server.port).post(event, headers))
            return answers[-1].status == 202

        wait_until_sync(is_accepted, within=PATIENCE)
        return str(answers[-1].json()["id"])

    with receiving_at(end - BESIDE, harness, tmp_path) as before:
        ids = [accepted(before, named), accepted(before, unnamed, key)]
    with receiving_at(end + BESIDE, harness, tmp_path) as after:
        assert [accepted(after, named), accepted(after, unnamed, key)] == ids
        later = accepted(after, page_view("later", eventId="e2"))
        accepted(after, {**named, "eventId": "e1", "color": "red"})

    async with harness.worker():
        documents = await harness.stored(3)
        (letter,) = await harness.dead(1)
        await harness.settled()
    balance = await verify(harness.resource, harness.settings, redis=harness.cache, store=harness.store)

    months = {document["id"]: document["partitionKey"] for document in documents}
    month_before = f"t1:{end - BESIDE:%Y-%m}"
    assert months == {ids[0]: month_before, ids[1]: month_before, later: f"t1:{end:%Y-%m}"}
    assert letter.reason == "IdempotencyConflict"
    assert balance.is_proven
    assert [balance.total(name) for name in ("accepted", "persisted", "duplicates", "dead_letters")] == [6, 3, 2, 1]
    assert {row.hour for row in balance.hours} == {f"{end - BESIDE:%Y-%m-%dT%H}", f"{end + BESIDE:%Y-%m-%dT%H}"}
