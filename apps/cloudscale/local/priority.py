"""The priority of workers and store beside requests and other programs.

Clients wait for the answer to a request, while events in the queue can wait. So workers and store run at a higher
niceness than ingestion. Where other programs keep every processor busy, that niceness would stop them altogether: when
the events in the queue have waited for long, workers and store run at normal priority until they have caught up.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import statistics
import time
from typing import TYPE_CHECKING, cast

from redis.exceptions import RedisError

from cloudscale.cache.records import parse_acceptance

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from redis.asyncio import Redis

    from cloudscale.local.supervisor import Supervised

LATE_SECONDS = 10.0
"""When half of the events have waited for so long, workers and store run at normal priority."""

CAUGHT_UP_SECONDS = 2.0
QUIET_SECONDS = 300.0
"""They give way again when events have not waited longer than :data:`CAUGHT_UP_SECONDS` for so long: the other programs
that keep the machine busy are mostly still there when the queue is empty."""

CHECK_SECONDS = 1.0
READ_SECONDS = 2.0
SAMPLE_EVENTS = 51

FIXED_NICENESS = 5
"""The highest niceness of a process whose priority cannot be raised again: that takes a permission that users mostly do
not have."""

_HIGHEST_NICENESS_LIMIT = 20


class PriorityPolicy:
    """Whether workers and store run at a lower priority, by how long events wait.

    Args:
        redis: the pipeline's.
        inflight_key: key of the ledger's hash of events that have not ended.
        apply: told once a second whether the processes are to give way.
        notify: told, in a line for people, when they no longer do.
        clock: seconds on a clock that never goes back.
    """

    def __init__(
        self,
        redis: Redis,
        inflight_key: str,
        *,
        apply: Callable[[bool], None],
        notify: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.gives_way = True
        self._redis = redis
        self._inflight_key = inflight_key
        self._apply = apply
        self._notify = notify
        self._clock = clock
        self._caught_up_since = clock()

    async def watch(self) -> None:
        """Check once a second until cancelled; while Redis does not answer nothing changes."""
        while True:
            with contextlib.suppress(RedisError, OSError, TimeoutError):
                self.decide(await self._waiting_seconds())
            self._apply(self.gives_way)
            await asyncio.sleep(CHECK_SECONDS)

    def decide(self, waiting_seconds: float) -> None:
        """Decide by how long events wait at present."""
        now = self._clock()
        if waiting_seconds > CAUGHT_UP_SECONDS:
            self._caught_up_since = now
        if self.gives_way and waiting_seconds > LATE_SECONDS:
            self.gives_way = False
            self._notify(
                f"events wait for {waiting_seconds:.0f} s: workers and store no longer give way to other programs"
            )
        elif not self.gives_way:
            self.gives_way = now - self._caught_up_since >= QUIET_SECONDS

    async def _waiting_seconds(self) -> float:
        """For how long the median of some events in flight has waited; a single left-over entry does not count."""
        async with asyncio.timeout(READ_SECONDS):
            found = await self._redis.hrandfield(self._inflight_key, SAMPLE_EVENTS, withvalues=True)
        sample = cast("list[bytes]", found)
        received = [
            parse_acceptance(field.decode(), value.decode()).received_at
            for field, value in zip(sample[::2], sample[1::2], strict=True)
        ]
        return time.time() - statistics.median(received) if received else 0.0


class Priorities:
    """The niceness of supervised processes, set when it changes and when a process is another one.

    A process that is not ready yet does not give way: beside busy programs its start would miss its deadline. None has
    a lower niceness than this process, which somebody may have started by ``nice``.
    """

    def __init__(self, processes: Mapping[str, Supervised]) -> None:
        self._processes = processes
        self._least = os.getpriority(os.PRIO_PROCESS, 0)
        self._applied: dict[str, tuple[int, int]] = {}

    def apply(self, gives_way: bool) -> None:
        """Make the ready processes whose plan has a niceness give way that far, or not at all."""
        for name, process in self._processes.items():
            if process.plan.niceness and process.ready.is_set() and process.child is not None:
                wanted = (process.child.pid, max(self._least, process.plan.niceness if gives_way else 0))
                if self._applied.get(name) != wanted:
                    set_niceness(*wanted)
                    self._applied[name] = wanted


def initial_niceness(niceness: int) -> int:
    """The niceness that a process which is to have ``niceness`` can start with and be freed of again."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NICE)
    may_raise = os.geteuid() == 0 or limit == resource.RLIM_INFINITY or limit >= _HIGHEST_NICENESS_LIMIT
    return niceness if may_raise else min(niceness, FIXED_NICENESS)


def set_niceness(group: int, niceness: int) -> None:
    """Set the niceness of a process that leads its group and session, and of all that it has started."""
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PGRP, group, niceness)
    # Linux may weigh whole sessions against each other (sched(7), autogroups), and each process leads its own. Anyone
    # may set that weight, also back.
    with contextlib.suppress(OSError):
        descriptor = os.open(f"/proc/{group}/autogroup", os.O_WRONLY)
        try:
            os.write(descriptor, str(niceness).encode())
        finally:
            os.close(descriptor)
