"""Live figures: what each process of a pipeline has done so far, in Redis, renewed every second.

The dashboard and the command line read them, so they show the whole pipeline whatever process answers. A process
publishes its own Prometheus metrics (:mod:`cloudscale.telemetry.metrics`), so there is one place where something is
counted.
Counts only ever grow within one process; :mod:`cloudscale.telemetry.activity` turns two readings into rates.

All processes share one Redis hash, ``figures``, with a field for each. A key for each with an expiry would have
to be found by SCAN, among millions of idempotency keys.
"""

from __future__ import annotations

import asyncio
import os
import resource
import socket
import time
from typing import TYPE_CHECKING, Literal

import msgspec
import structlog
from prometheus_client import REGISTRY
from redis.exceptions import RedisError

from cloudscale.telemetry import metrics
from cloudscale.telemetry.distribution import Distribution

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prometheus_client import CollectorRegistry
    from prometheus_client.samples import Sample
    from redis.asyncio import Redis

log = structlog.get_logger(__name__)

INTERVAL_SECONDS = 1.0
EXPIRY_SECONDS = 10.0
"""A process that has not published for so long is gone."""

Role = Literal["ingestion", "worker"]
Counts = dict[str, float]


class Figures(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one process has done since it started. Counts are events unless their name says otherwise."""

    role: Role
    process: str
    """Unique over hosts and restarts: ``{host}-{process id}-{start in ms}``."""
    started_at: float
    """Epoch seconds."""
    at: float
    """Epoch seconds of this reading."""
    cpu_seconds: float = 0.0
    memory_bytes: int = 0
    accepted: dict[str, Counts] = {}
    """By event type, then by tenant."""
    persisted: dict[str, Counts] = {}
    """By event type, then by tenant."""
    responses: Counts = {}
    """Answers of the event routes by status code."""
    rejections: Counts = {}
    """By reason."""
    rate_limited: Counts = {}
    """Requests, by limit."""
    duplicates: Counts = {}
    """By stage."""
    dead_letters: Counts = {}
    """By reason."""
    suspicious: Counts = {}
    """By event type."""
    retries: Counts = {}
    """Calls, by backend."""
    breakers: Counts = {}
    """State by backend: 0 closed, 1 half-open, 2 open."""
    ingestion_seconds: Distribution = Distribution()
    lag_seconds: Distribution = Distribution()
    store_seconds: Distribution = Distribution()
    group_events: Distribution = Distribution()
    request_units: float = 0.0
    concurrency_limit: int = 0
    cache_available: bool = True


def process_name() -> str:
    """A new name for this process, which no other process of the pipeline has had.

    To be called once a process: its leases and its figures carry the same name.
    """
    return f"{socket.gethostname()}-{os.getpid()}-{time.time_ns() // 1_000_000:x}"


def take(
    role: Role, *, process: str, started_at: float, at: float | None = None, registry: CollectorRegistry = REGISTRY
) -> Figures:
    """Read this process's metrics into figures."""
    samples: dict[str, list[Sample]] = {}
    for metric in registry.collect():
        if metric.name.startswith("cloudscale_"):
            samples[metric.name.removeprefix("cloudscale_")] = metric.samples

    return Figures(
        role=role,
        process=process,
        started_at=started_at,
        at=time.time() if at is None else at,
        cpu_seconds=time.process_time(),
        memory_bytes=_resident_bytes(),
        accepted=_by_type_and_tenant(samples["events_ingested"]),
        persisted=_by_type_and_tenant(samples["events_persisted"]),
        responses=_by_label(samples["responses"], "code"),
        rejections=_by_label(samples["rejections"], "reason"),
        rate_limited=_by_label(samples["rate_limit_rejections"], "limit"),
        duplicates=_by_label(samples["duplicates"], "stage"),
        dead_letters=_by_label(samples["dead_letters"], "reason"),
        suspicious=_by_label(samples["fraud_detected"], "event_type"),
        retries=_by_label(samples["retries"], "backend"),
        breakers=_by_label(samples["circuit_breaker_state"], "backend"),
        ingestion_seconds=_distribution(samples["ingestion_duration_seconds"], metrics.INGESTION_BUCKETS_SECONDS),
        lag_seconds=_distribution(samples["processing_lag_seconds"], metrics.LAG_BUCKETS_SECONDS),
        store_seconds=_distribution(samples["store_duration_seconds"], metrics.STORE_BUCKETS_SECONDS),
        group_events=_distribution(samples["group_size"], metrics.GROUP_BUCKETS_EVENTS),
        request_units=_only_value(samples["store_request_units"]),
        concurrency_limit=int(_only_value(samples["concurrency_limit"])),
        cache_available=bool(_only_value(samples["cache_available"])),
    )


async def publish(redis: Redis, figures: Figures, *, key: str) -> None:
    """Write one process's figures. ``key`` is that of the hash.

    Raises:
        redis.exceptions.RedisError: Redis did not take them.
    """
    await redis.hset(key, figures.process, msgspec.json.encode(figures))


async def publish_every_second(redis: Redis, role: Role, *, process: str, key: str) -> None:
    """Publish the figures of this process, named ``process``, until cancelled; its last ones stay until they expire.

    While Redis is away nothing is published and nothing else suffers.
    """
    started_at = time.time()
    reachable = True
    cleaned = False
    while True:
        figures = take(role, process=process, started_at=started_at)
        try:
            async with asyncio.timeout(EXPIRY_SECONDS):
                await publish(redis, figures, key=key)
                if not cleaned:
                    await _remove_the_gone(redis, key=key)
        except (RedisError, OSError, TimeoutError) as error:
            if reachable:
                log.warning("live figures are not published: Redis cannot be reached", error=str(error))
            reachable = False
        else:
            reachable = cleaned = True
        await asyncio.sleep(INTERVAL_SECONDS)


async def read_all(redis: Redis, *, key: str) -> list[Figures]:
    """The newest figures of every process that is alive, ordered by process.

    Raises:
        redis.exceptions.RedisError: Redis did not answer.
    """
    raw = await redis.hgetall(key)
    return decode_all(raw.values())


def decode_all(raw: Iterable[bytes | str], *, now: float | None = None) -> list[Figures]:
    """Figures from the values of the Redis hash, without those of processes that are gone."""
    oldest = (time.time() if now is None else now) - EXPIRY_SECONDS
    return sorted((figures for each in raw if (figures := _decode(each)).at >= oldest), key=lambda item: item.process)


_decode = msgspec.json.Decoder(Figures).decode


async def _remove_the_gone(redis: Redis, *, key: str) -> None:
    """Every start adds a field, so every start clears those that are over."""
    raw = await redis.hgetall(key)
    alive = {figures.process for figures in decode_all(raw.values())}
    if gone := [name for name, figures in raw.items() if _decode(figures).process not in alive]:
        await redis.hdel(key, *gone)


def _by_label(samples: Iterable[Sample], label: str) -> Counts:
    return {sample.labels[label]: sample.value for sample in samples if not sample.name.endswith("_created")}


def _by_type_and_tenant(samples: Iterable[Sample]) -> dict[str, Counts]:
    counts: dict[str, Counts] = {}
    for sample in samples:
        if sample.name.endswith("_total"):
            counts.setdefault(sample.labels["event_type"], {})[sample.labels["tenant_id"]] = sample.value
    return counts


def _distribution(samples: Iterable[Sample], bounds: Iterable[float]) -> Distribution:
    """Add up a histogram's series; Prometheus counts are cumulative over the buckets, a distribution's are not."""
    cumulative: dict[float, float] = {}
    total = 0.0
    for sample in samples:
        if sample.name.endswith("_bucket"):
            bound = float(sample.labels["le"])
            cumulative[bound] = cumulative.get(bound, 0.0) + sample.value
        elif sample.name.endswith("_sum"):
            total += sample.value
    if not cumulative:
        return Distribution()
    reached = [cumulative[bound] for bound in sorted(cumulative)]
    counts = tuple(now - before for before, now in zip([0.0, *reached[:-1]], reached, strict=True))
    return Distribution(bounds=tuple(map(float, bounds)), counts=counts, total=total)


def _only_value(samples: Iterable[Sample]) -> float:
    return next(sample.value for sample in samples if not sample.name.endswith("_created"))


def _resident_bytes() -> int:
    try:
        with open("/proc/self/statm", "rb") as file:  # noqa: PTH123 - opened every second
            return int(file.read().split()[1]) * resource.getpagesize()
    except FileNotFoundError:
        # Outside of Linux: the peak, in kilobytes or bytes by system.
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
