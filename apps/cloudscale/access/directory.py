"""Finds keys and tenants for a process that authenticates requests: in its memory, in Redis, in the store.

Each process keeps the records that it was asked for, and every second asks Redis what has changed; so a revocation or
a new quota holds everywhere within seconds. While Redis is away nobody tells of changes, so what is older than a minute
is looked up again; and while the store is away as well, what is known goes on for an hour. What is not there is
remembered too, in the process alone and for half a minute, so that a caller who tries one key again and again costs one
look.

Lookups that arrive together are made together, with one call to Redis and a few queries, however many callers wait.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import structlog
from redis.exceptions import RedisError

from cloudscale.access.caller import AccessUnavailableError
from cloudscale.access.known_records import KnownRecord, KnownRecords
from cloudscale.access.records import Key, Reference, Tenant
from cloudscale.errors import CloudScaleError
from cloudscale.tasks import cancel_and_wait, start_task

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from typing import Self

    from cloudscale.access.shared_cache import SharedCache

    Find = Callable[[Sequence[Reference]], Awaitable[Mapping[Reference, Tenant | Key]]]

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class DirectoryLimits:
    """How much one process keeps, and for how long."""

    records: int = 50_000
    """Records in memory, some 1.5 kB each; those that were asked for longest ago go first."""
    absent: int = 10_000
    """Of how many it is remembered that they are not there."""
    kept_seconds: float = 3600.0
    unconfirmed_seconds: float = 60.0
    """How old a record may be while Redis, which would tell of a change, is away."""
    absent_seconds: float = 30.0
    """How long it is remembered that something is not there."""
    waiting: int = 5000
    """Lookups that wait at once; one more is refused."""
    lookup_seconds: float = 5.0
    lookups_at_once: int = 200
    lookup_interval_seconds: float = 0.05
    lookup_burst: int = 20
    """Between two calls for many lookups, when more than so many follow one another. The store's SDK takes some 4 ms
    of CPU a query, however little it asks for; where many keys are new, those that arrive meanwhile go together."""
    poll_seconds: float = 1.0
    """Between two questions for changes."""
    confirmed_seconds: float = 5.0
    """After so long without an answer of Redis, changes may have been missed."""


class Directory:
    """The directory as one process sees it.

    Args:
        find: looks records up in the store.
        cache: the copies in Redis.
        given: records that stand in a file. A key among them is always there, and nothing in the store replaces it. A
            tenant counts where the store has none of that id, so that a disabled one stays disabled, and where the
            store cannot be asked.
        limits: how much is kept.
    """

    def __init__(
        self,
        find: Find,
        cache: SharedCache,
        *,
        given: Callable[[Reference], Tenant | Key | None] = lambda _: None,
        limits: DirectoryLimits = DirectoryLimits(),
    ) -> None:
        self._find = find
        self._cache = cache
        self._given = given
        self._limits = limits
        self._known = KnownRecords(most_records=limits.records, most_absent=limits.absent)
        self._waiting: dict[Reference, asyncio.Future[Tenant | Key | None]] = {}
        self._wake = asyncio.Event()
        self.epoch = 0
        """Another number after each change of the directory that this process has heard of."""
        self._version = ""
        self._confirmed_at = float("-inf")
        self._redis_answers = True
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._now = asyncio.get_running_loop().time
        self._tasks = [
            start_task(self._poll(), name="directory-changes"),
            start_task(self._look_up(), name="directory-lookups"),
        ]
        return self

    async def __aexit__(self, *_: object) -> None:
        await cancel_and_wait(*self._tasks)
        for waiting in self._waiting.values():
            waiting.cancel()

    def known(self, reference: Reference) -> tuple[bool, Tenant | Key | None]:
        """Whether this process knows about a record without asking anybody, and the record if there is one."""
        given = self._given(reference)
        if isinstance(given, Key):
            return True, given
        entry = self._known.get(reference)
        if entry is None or not self._is_good(entry, is_given=given is not None):
            return False, None
        return True, entry.record or given

    async def find(self, reference: Reference) -> Tenant | Key | None:
        """The record, or None if there is none.

        Raises:
            AccessUnavailableError: it is not known here, and nobody who knows answers.
        """
        is_known, record = self.known(reference)
        if is_known:
            self._known.touch(reference)
            return record
        try:
            return await self._looked_up(reference) or self._given(reference)
        except AccessUnavailableError:
            given = self._given(reference)
            if given is None:
                raise
            # Not each request is to wait for a store that does not answer.
            self._keep(reference, None, is_assumed=True)
            return given

    async def _looked_up(self, reference: Reference) -> Tenant | Key | None:
        waiting = self._waiting.get(reference)
        if waiting is None:
            if len(self._waiting) >= self._limits.waiting:
                raise AccessUnavailableError("too many keys are being looked up at present: try again in a moment")
            waiting = self._waiting[reference] = asyncio.get_running_loop().create_future()
            self._wake.set()
        try:
            async with asyncio.timeout(self._limits.lookup_seconds):
                # Others may wait for the same.
                return await asyncio.shield(waiting)
        except TimeoutError:
            return self._old(reference, "the directory of keys did not answer in time: try again in a moment")

    def _old(self, reference: Reference, problem: str) -> Tenant | Key | None:
        """What was known of a record not too long ago.

        Raises:
            AccessUnavailableError: nothing was.
        """
        entry = self._known.get(reference)
        if entry is not None and self._now() < self._seen_at(entry) + self._limits.kept_seconds:
            return entry.record
        raise AccessUnavailableError(problem)

    def _seen_at(self, entry: KnownRecord) -> float:
        """When it was last certain that the record had not changed."""
        return entry.read_at if entry.is_stale else max(entry.read_at, self._confirmed_at)

    def _is_good(self, entry: KnownRecord, *, is_given: bool) -> bool:
        now = self._now()
        if entry.is_assumed:
            return now < entry.read_at + self._limits.absent_seconds
        if entry.is_stale:
            return False
        # A tenant that a file gives is asked for as seldom as one that is there: that it was made is told.
        if entry.record is None and not is_given and now >= entry.read_at + self._limits.absent_seconds:
            return False
        if now >= entry.read_at + self._limits.kept_seconds:
            return False
        is_told = now < self._confirmed_at + self._limits.confirmed_seconds
        return is_told or now < self._seen_at(entry) + self._limits.unconfirmed_seconds

    async def _poll(self) -> None:
        while True:
            try:
                version, changes = await self._cache.changes_since(self._version)
            except (RedisError, OSError, TimeoutError) as error:
                if self._redis_answers:
                    log.warning(
                        "changes of keys and tenants are noticed late: Redis cannot be reached", error=str(error)
                    )
                self._redis_answers = False
            else:
                self._redis_answers = True
                self._take_changes(changes)
                self._version = version
                self._confirmed_at = self._now()
            await asyncio.sleep(self._limits.poll_seconds)

    def _take_changes(self, changes: Sequence[Reference] | None) -> None:
        if changes is None or changes:
            self.epoch += 1
        if changes is None:
            self._known.distrust()
        for reference in changes or ():
            # What it says now is wrong for certain, so it must not serve while the store is away either.
            self._known.forget(reference)

    async def _look_up(self) -> None:
        # When the next one were due if none came sooner: the generic cell rate algorithm (ITU-T I.371).
        due = 0.0
        while True:
            self._wake.clear()
            if not self._waiting:
                await self._wake.wait()
            interval = self._limits.lookup_interval_seconds
            await asyncio.sleep(due - self._limits.lookup_burst * interval - self._now())
            due = max(due, self._now()) + interval
            some = list(islice(self._waiting, self._limits.lookups_at_once))
            problem: CloudScaleError | None = None
            found: Mapping[Reference, Tenant | Key] = {}
            version = self._version
            try:
                async with asyncio.timeout(self._limits.lookup_seconds):
                    version, found = await self._fetch(some)
            except (CloudScaleError, TimeoutError) as error:
                log.warning("keys cannot be looked up: the store does not answer", keys=len(some), error=str(error))
                problem = AccessUnavailableError("the directory of keys cannot be asked: try again in a moment")
            for reference in some:
                waiting = self._waiting.pop(reference)
                # What changed while it was read is read again at the next use.
                if problem is None and version in ("", self._version):
                    self._keep(reference, found.get(reference))
                if waiting.done():
                    continue
                if problem is None:
                    waiting.set_result(found.get(reference))
                else:
                    self._answer_old(reference, waiting, str(problem))

    def _answer_old(self, reference: Reference, waiting: asyncio.Future[Tenant | Key | None], problem: str) -> None:
        try:
            waiting.set_result(self._old(reference, problem))
        except AccessUnavailableError as error:
            waiting.set_exception(error)
            # All who waited may have gone away.
            waiting.exception()

    async def _fetch(self, references: Sequence[Reference]) -> tuple[str, Mapping[Reference, Tenant | Key]]:
        version, found = "", dict[Reference, Tenant | Key]()
        try:
            version, found = await self._cache.find(references)
        except (RedisError, OSError, TimeoutError) as error:
            log.debug("keys are looked up in the store: Redis cannot be reached", error=str(error))
        missing = [reference for reference in references if reference not in found]
        if not missing:
            return version, found
        stored = await self._find(missing)
        try:
            await self._cache.remember(stored, version=version)
        except (RedisError, OSError, TimeoutError) as error:
            log.debug("keys are not kept in Redis, which cannot be reached", error=str(error))
        return version, {**found, **stored}

    def _keep(self, reference: Reference, record: Tenant | Key | None, *, is_assumed: bool = False) -> None:
        self._known.keep(reference, KnownRecord(record, self._now(), is_assumed=is_assumed))
