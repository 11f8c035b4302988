"""What an event costs Redis: CPU time of the server for admission, velocity windows and settlement, by group size.

    python bench/redis_server.py --events 100000

Makes the calls that ingestion and a worker make, with the load's events from one client address, to a server that is
configured as `cloudscale run` configures it, and reads the server's CPU time from ``/proc``.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import ConstantBackoff
from redis.exceptions import ConnectionError as RedisConnectionError

from bench.load import write_bodies
from bench.processes import cpu_seconds, microseconds_each
from cloudscale.cache.keys import Keys
from cloudscale.circuit_breaker import CircuitBreaker
from cloudscale.events.enrichment import Enriched, Origin, enrich
from cloudscale.events.json_text import decode
from cloudscale.events.types import EventTypes
from cloudscale.ledger.settling import Ledger, Settlement
from cloudscale.limits.admission import Admission
from cloudscale.limits.rates import Budget, Rates, Sender
from cloudscale.limits.velocity import VelocityEvent, VelocityWindows
from cloudscale.local.plan import LOOPBACK
from cloudscale.local.ports import find_free_ports
from cloudscale.local.redis_server import configuration, find_program

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

CLIENT = "192.0.2.1"
GROUPS = (1, 10, 42, 100)
TURN_EVENTS = 336
"""What a worker's lane handles at once: 16 messages of 21 events."""

GENEROUS = Rates(client=Budget(10**6, 10**6), window_limit=10**9, window_milliseconds=60_000)


@contextmanager
def server(directory: Path) -> Iterator[tuple[str, int]]:
    """Run the server with its data in ``directory``; its URL and process id."""
    (port,) = find_free_ports(LOOPBACK, 1)
    file = directory / "redis.conf"
    file.write_text(configuration(port=port, password="bench", directory=directory))  # noqa: S106 - of this run only
    process = subprocess.Popen([str(find_program()), str(file)], stdout=subprocess.DEVNULL)
    try:
        yield f"redis://:bench@127.0.0.1:{port}/0", process.pid
    finally:
        process.terminate()
        process.wait()


def breaker() -> CircuitBreaker:
    """One that stays closed."""
    second = timedelta(seconds=1)
    return CircuitBreaker(backend="cache", failure_ratio=1, window=second, minimum_calls=10**6, open_for=second)


async def run(redis: Redis, bodies: Sequence[bytes], *, events: int, group: int) -> None:
    """Admit ``events`` events in groups and settle them in a worker's turns."""
    keys, types = Keys(namespace="bench", name=f"groups-of-{group}"), EventTypes()
    admission = Admission(redis, keys=keys, rates=GENEROUS, idempotency_ms=600_000, breaker=breaker())
    velocity = VelocityWindows(redis, key=keys.velocity_of, window=timedelta(seconds=60), breaker=breaker())
    ledger = Ledger(redis, keys=keys, breaker=breaker())
    turn: list[Enriched] = []
    for start in range(0, events, group):
        origin = Origin(CLIENT, "bench", datetime.now(UTC))
        documents = [decode(bodies[(start + place) % len(bodies)]) for place in range(group)]
        enriched = [enrich(document, types.check(document), origin) for document in documents]
        await admission.admit([(Sender(CLIENT), [event]) for event in enriched])
        admission.commit(enriched)
        turn += enriched
        if len(turn) >= TURN_EVENTS:
            milliseconds = origin.received_at.timestamp() * 1000
            await velocity.count([VelocityEvent(CLIENT, event.event_id, milliseconds) for event in turn])
            await ledger.settle(
                [
                    Settlement(event.tenant_id, event.event_id, event.document["acceptance"], event.received_hour)
                    for event in turn
                ]
            )
            turn = []


async def measure(url: str, process: int, bodies: Sequence[bytes], *, events: int) -> None:
    """Print the cost at each group size."""
    async with Redis.from_url(
        url, retry=Retry(ConstantBackoff(0.1), 50), retry_on_error=[RedisConnectionError]
    ) as redis:
        await redis.ping()
        for group in GROUPS:
            before = cpu_seconds([process])
            await run(redis, bodies, events=events, group=group)
            cost = microseconds_each(cpu_seconds([process]) - before, events)
            print(f"groups of {group}: {cost} µs of Redis' CPU an event")


def main() -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description="CPU time of Redis an event, by group size")
    parser.add_argument("--events", type=int, default=50_000)
    events: int = parser.parse_args().events
    with tempfile.TemporaryDirectory(prefix="cloudscale-redis-") as folder, server(Path(folder)) as (url, process):
        write_bodies(Path(folder) / "bodies", events_per_request=1)
        bodies = (Path(folder) / "bodies").read_bytes().splitlines()
        asyncio.run(measure(url, process, bodies, events=events))


if __name__ == "__main__":
    main()
