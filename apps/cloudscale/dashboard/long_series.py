"""A long series of points, each for a step of some minutes, kept in Redis so that it survives restarts."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import msgspec

from cloudscale.dashboard.kept_points import read_kept
from cloudscale.dashboard.points import Gauges, Point, point_of
from cloudscale.telemetry import activity

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redis.asyncio import Redis

    from cloudscale.telemetry.figures import Figures

# What holds at the end of a step, of the processes that are there then.
_STATE = ("workers", "ingestion", "concurrency", "cache_available", "breakers")


class LongSeries:
    """The last ``steps`` steps of ``step_seconds`` each. ``points`` has them, the oldest first."""

    def __init__(self, key: str, *, step_seconds: int, steps: int) -> None:
        self.points: deque[Point] = deque(maxlen=steps)
        self._key = key
        self._step_seconds = step_seconds
        self._steps = steps
        self._step: int | None = None
        self._progress: activity.Progress | None = None
        self._seen: dict[str, Figures] = {}
        """The last figures of each process of this step: one that ends in the middle has done its part."""

    def observe(self, processes: Sequence[Figures], latest: Point, gauges: Gauges, *, since: float) -> Point | None:
        """Take a reading; the point of a step that it ends.

        Args:
            processes: the newest figures.
            latest: the newest point of the short series.
            gauges: what was read beside the figures.
            since: of the first reading, the time (epoch seconds) since which what happened counts.
        """
        if self._progress is None:
            self._progress = activity.Progress(processes, since=since)
        self._seen.update((each.process, each) for each in processes)
        step = int(latest.at // self._step_seconds)
        if step == self._step:
            return None
        point = None
        if self._step is not None and self._seen:
            point = point_of(self._progress.to(self._seen.values()), gauges, at=latest.at)
            point = msgspec.structs.replace(point, **{name: getattr(latest, name) for name in _STATE})
            self.points.append(point)
        self._step = step
        self._seen = {each.process: each for each in processes}
        return point

    async def load(self, redis: Redis, *, at: float) -> None:
        """Take up the series of an earlier run, without what is too old at the moment ``at``.

        Raises:
            redis.exceptions.RedisError: Redis did not answer.
        """
        raw = await redis.lrange(self._key, 0, -1)
        oldest = at - self._steps * self._step_seconds
        self.points.clear()
        self.points.extend(point for point in read_kept(raw, Point, key=self._key) if point.at >= oldest)

    async def save(self, redis: Redis, point: Point) -> None:
        """Add a point to the series in Redis.

        Raises:
            redis.exceptions.RedisError: Redis did not take it.
        """
        async with redis.pipeline(transaction=False) as together:
            together.rpush(self._key, msgspec.json.encode(point))
            together.ltrim(self._key, -self._steps, -1)
            together.expire(self._key, self._steps * self._step_seconds)
            await together.execute()
