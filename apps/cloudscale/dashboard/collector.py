"""Turns the processes' live figures into time series of an hour, a day and a week, and tells the browsers that listen.

The series are kept in Redis, so they survive a restart of the dashboard; of several dashboards one writes them.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import msgspec
import structlog
from redis.exceptions import RedisError

from cloudscale.dashboard.kept_points import read_kept
from cloudscale.dashboard.long_series import LongSeries
from cloudscale.dashboard.points import Gauges, Point, point_of
from cloudscale.errors import BackendError, ConfigurationError
from cloudscale.telemetry import activity
from cloudscale.telemetry.figures import Figures, decode_all
from cloudscale.telemetry.service_levels import Tally, tally_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from redis.asyncio import Redis

    from cloudscale.cache.keys import Keys
    from cloudscale.ledger.backlog import Backlog

log = structlog.get_logger(__name__)

TICK_SECONDS = 1.0
TICKS_PER_POINT = 2
POINTS = 3600 // TICKS_PER_POINT
WINDOW_TICKS = 3
"""Rates are taken over so many ticks: the processes publish once a second each, and not at the same time. The first
reading counts what processes did that started within so many, so that a new pipeline's first events are shown."""

FIRST_READING_SECONDS = 2.0
BACKLOG_SECONDS = 2.0
WRITER_SECONDS = 10


class Record(msgspec.Struct, frozen=True, array_like=True):
    """What is kept of each point."""

    point: Point
    tally: Tally


class Collector:
    """Reads the figures once a second while :meth:`run` runs.

    ``points`` and ``tallies`` hold the last hour, ``latest`` the newest point, ``processes`` the newest figures.
    """

    def __init__(self, redis: Redis, keys: Keys, *, backlog: Callable[[], Awaitable[Backlog]], name: str) -> None:
        self.points: deque[Point] = deque(maxlen=POINTS)
        self.tallies: deque[Tally] = deque(maxlen=POINTS)
        self.latest = Point(at=time.time())
        self.processes: list[Figures] = []
        self._redis = redis
        self._figures_key = keys.figures
        self._inflight_key = keys.inflight
        self._history_key = keys.history
        self._writer_key = keys.history_writer
        self._name = name
        self.long_series = {
            "day": LongSeries(keys.history_of_day, step_seconds=60, steps=24 * 60),
            "week": LongSeries(keys.history_of_week, step_seconds=600, steps=7 * 24 * 6),
        }
        """Series of coarser steps by the span that they are for."""
        self._read_backlog = backlog
        self._gauges = Gauges()
        self._backlog: Backlog | None = None
        self._readings: deque[tuple[float, list[Figures]]] = deque(maxlen=WINDOW_TICKS + 1)
        """Each with its time."""
        self._progress: activity.Progress | None = None
        self._listeners: set[asyncio.Event] = set()
        self._has_begun = asyncio.Event()
        self._redis_answers = True
        self._broker_answers = True

    @contextmanager
    def listening(self) -> Iterator[asyncio.Event]:
        """An event that is set at every new point; whoever waits for it clears it."""
        event = asyncio.Event()
        self._listeners.add(event)
        try:
            yield event
        finally:
            self._listeners.discard(event)

    async def begun(self) -> None:
        """Wait for the first reading, for :data:`FIRST_READING_SECONDS` at the most.

        What a process does afterwards is in the series, however long ago it started.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(FIRST_READING_SECONDS):
                await self._has_begun.wait()

    async def run(self) -> None:
        """Collect until cancelled. While Redis is away the series have a gap, and everything else goes on."""
        await self._load()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._watch_backlog())
            tasks.create_task(self._tick_forever())

    async def _tick_forever(self) -> None:
        tick = 0
        due = time.monotonic()
        while True:
            try:
                await self._tick(keep=tick % TICKS_PER_POINT == 0)
            # A process of another version may publish figures of another form while the pipeline is rolled.
            except (RedisError, OSError, TimeoutError, msgspec.DecodeError) as error:
                self._gauges = msgspec.structs.replace(self._gauges, in_flight=None)
                if self._redis_answers:
                    log.warning("no live figures: they cannot be read from Redis", error=str(error))
                self._redis_answers = False
            else:
                self._redis_answers = True
                self._has_begun.set()
            tick += 1
            due = max(due + TICK_SECONDS, time.monotonic())
            await asyncio.sleep(due - time.monotonic())

    async def _tick(self, *, keep: bool) -> None:
        async with self._redis.pipeline(transaction=False) as together:
            together.hgetall(self._figures_key)
            together.hlen(self._inflight_key)
            raw, in_flight = await together.execute()
        now = time.time()
        self.processes = decode_all(raw.values(), now=now)
        self._readings.append((now, self.processes))
        since = min(self._readings[0][0], now - WINDOW_TICKS * TICK_SECONDS)
        backlog = self._backlog
        self._gauges = Gauges(
            queue_depth=backlog.events if backlog else None,
            queue_messages=backlog.messages if backlog else None,
            oldest_seconds=backlog.oldest_seconds if backlog else None,
            dead_letter_depth=backlog.dead_letters if backlog else None,
            scheduled=backlog.scheduled if backlog else None,
            in_flight=in_flight,
        )
        self.latest = point_of(
            activity.during([processes for _, processes in self._readings], since=since), self._gauges, at=now
        )
        if keep:
            if self._progress is None:
                self._progress = activity.Progress(self.processes, since=since)
            tally = tally_of(self._progress.to(self.processes), at=now)
            self.points.append(self.latest)
            self.tallies.append(tally)
            is_writer = await self._save(Record(self.latest, tally))
            for series in self.long_series.values():
                point = series.observe(self.processes, self.latest, self._gauges, since=since)
                if point is not None and is_writer:
                    await series.save(self._redis, point)
        for event in self._listeners:
            event.set()

    async def _watch_backlog(self) -> None:
        while True:
            try:
                self._backlog = await self._read_backlog()
            except (BackendError, ConfigurationError) as error:
                self._backlog = None
                if self._broker_answers:
                    log.warning("the queue's depth is not known", error=str(error))
                self._broker_answers = False
            else:
                self._broker_answers = True
            await asyncio.sleep(BACKLOG_SECONDS)

    async def _load(self) -> None:
        """Take up the series of an earlier run, without what is older than an hour."""
        while True:
            try:
                raw = await self._redis.lrange(self._history_key, 0, -1)
                for series in self.long_series.values():
                    await series.load(self._redis, at=time.time())
            except (RedisError, OSError, TimeoutError) as error:
                log.warning("the history cannot be read yet: Redis is away", error=str(error))
                await asyncio.sleep(TICK_SECONDS)
                continue
            break
        oldest = time.time() - POINTS * TICKS_PER_POINT * TICK_SECONDS
        for record in read_kept(raw, Record, key=self._history_key):
            if record.point.at >= oldest:
                self.points.append(record.point)
                self.tallies.append(record.tally)

    async def _save(self, record: Record) -> bool:
        """Write a point unless another dashboard writes; whether this one does."""
        writer = await self._redis.set(self._writer_key, self._name, nx=True, ex=WRITER_SECONDS, get=True)
        if writer is not None and writer not in {self._name, self._name.encode()}:
            return False
        async with self._redis.pipeline(transaction=False) as together:
            together.set(self._writer_key, self._name, ex=WRITER_SECONDS)
            together.rpush(self._history_key, msgspec.json.encode(record))
            together.ltrim(self._history_key, -POINTS, -1)
            together.expire(self._history_key, 3600)
            await together.execute()
        return True
