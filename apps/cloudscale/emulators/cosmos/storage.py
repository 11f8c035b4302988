"""One SQLite file in WAL mode: every write goes through one connection, in groups.

Writes that arrive in the same turn of the event loop share one transaction (group commit); each of them has a
savepoint of its own, so one that fails takes nothing with it. A write is answered after its transaction is committed,
that is after its pages are in the operating system's hands: a SIGKILL loses nothing that was answered.

Against a loss of power there are two policies: ``always`` synchronises the log with every group
(``synchronous=FULL``), ``interval`` only when the log is checkpointed, about once a second
(``synchronous=NORMAL``): the last second may then be lost, the file stays consistent
(https://www.sqlite.org/pragma.html#pragma_synchronous).

Long reads run on threads with connections of their own and block no write.
"""

import asyncio
import queue
import sqlite3
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, Literal, Protocol, TypeVar

import structlog

from cloudscale.emulators.cosmos.errors import cannot_write, is_missing_table, statement_failed

FsyncPolicy = Literal["always", "interval"]

READER_THREADS: Final = 2
LOCK_TIMEOUT: Final = timedelta(seconds=30)
CHECKPOINT_SECONDS: Final = 1.0
# The log is cut back to nothing when it has grown beyond this; until then its pages are used again.
LOG_BYTES: Final = 64 * 1024 * 1024
WRITER_CACHE_KIBIBYTES: Final = 64 * 1024
READER_CACHE_KIBIBYTES: Final = 8 * 1024

Result = TypeVar("Result")
log = structlog.get_logger()


class Participant(Protocol):
    """Whoever keeps state in memory beside the tables takes part in each write's success or failure."""

    def flush(self) -> None:
        """Bring buffered rows into the transaction."""

    def keep(self) -> None:
        """The write's savepoint was released."""

    def discard(self) -> None:
        """The write was rolled back."""

    def reload(self) -> None:
        """The whole transaction failed: read everything from the tables again."""


class Storage:
    """The database file. Use ``write`` to change it, ``read`` for quick and ``query`` for long reads."""

    def __init__(self, path: Path, *, fsync: FsyncPolicy) -> None:
        self._path = path
        self.connection = self._connect(WRITER_CACHE_KIBIBYTES)
        self.connection.execute(f"PRAGMA synchronous={'FULL' if fsync == 'always' else 'NORMAL'}")
        # Checkpoints run on a thread, never inside a write.
        self.connection.execute("PRAGMA wal_autocheckpoint=0")
        self._waiting: list[tuple[Callable[[], Any], asyncio.Future[Any]]] = []
        self._touched: dict[Participant, None] = {}
        self._stale: dict[Participant, None] = {}
        self._readers: queue.SimpleQueue[sqlite3.Connection] = queue.SimpleQueue()
        self._pool = ThreadPoolExecutor(READER_THREADS, thread_name_prefix="query")
        self._written = threading.Event()
        self._closing = threading.Event()
        self._checkpointer = threading.Thread(target=self._checkpoint_regularly, name="checkpoint", daemon=True)
        self._checkpointer.start()

    def _connect(self, cache_kibibytes: int) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._path, isolation_level=None, check_same_thread=False, timeout=LOCK_TIMEOUT.total_seconds()
        )
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute(f"PRAGMA cache_size=-{cache_kibibytes}")
        connection.text_factory = bytes
        return connection

    def enlist(self, participant: Participant) -> None:
        """Tell ``participant`` how the write that is being made ends."""
        self._touched[participant] = None

    def write(self, work: Callable[[], Result]) -> Awaitable[Result]:
        """Run ``work`` inside the next transaction; the result comes after the commit.

        What ``work`` raises is raised here, and nothing of it is stored.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Result] = loop.create_future()
        if not self._waiting:
            loop.call_soon(self.commit_waiting)
        self._waiting.append((work, future))
        return future

    def write_unattended(self, work: Callable[[], object]) -> None:
        """The same for work that nobody waits for; a failure is logged."""
        asyncio.ensure_future(self.write(work)).add_done_callback(_log_failure)

    def commit_waiting(self) -> None:
        """Run and commit every write that waits."""
        group, self._waiting = self._waiting, []
        if not group:
            return
        answers: list[tuple[asyncio.Future[Any], Any]] = []
        participants: dict[Participant, None] = {}
        try:
            self._roll_back_unfinished()
            self._reload_stale()
            self.connection.execute("BEGIN IMMEDIATE")
            for work, future in group:
                answers.append((future, self._run(work)))
                participants |= self._touched
                self._touched = {}
            self.connection.execute("COMMIT")
        except Exception as error:
            # Whatever it is, everybody has an answer before anything else is tried, the log included.
            self._fail([future for _, future in group], participants | self._touched, error)
            defect = None if isinstance(error, sqlite3.Error) else error
            log.error("cannot commit", writes=len(group), error=str(error), exc_info=defect)  # noqa: TRY400
            return
        self._written.set()
        for future, answer in answers:
            if future.cancelled():
                continue
            if isinstance(answer, BaseException):
                future.set_exception(answer)
            else:
                future.set_result(answer)

    def _run(self, work: Callable[[], Any]) -> Any:
        self.connection.execute("SAVEPOINT write")
        try:
            result = work()
            for participant in self._touched:
                participant.flush()
        except Exception as error:
            # SQLite ends the whole transaction when the disk fails it; anything else is this write's own affair.
            if not self.connection.in_transaction:
                raise
            self._roll_back_write()
            if isinstance(error, sqlite3.Error):
                return statement_failed(error)
            return error
        self.connection.execute("RELEASE write")
        for participant in self._touched:
            participant.keep()
        return result

    def _roll_back_write(self) -> None:
        self.connection.execute("ROLLBACK TO write")
        self.connection.execute("RELEASE write")
        for participant in self._touched:
            participant.discard()
        # Memory is as it was: if the group fails too, this write leaves nothing to read again, perhaps not even tables.
        self._touched = {}

    def _fail(
        self, futures: list[asyncio.Future[Any]], participants: dict[Participant, None], error: Exception
    ) -> None:
        answer = cannot_write(error) if isinstance(error, sqlite3.Error) else error
        for future in futures:
            if not future.done():
                future.set_exception(answer)
        self._touched = {}
        self._stale |= participants
        # What fails here is tried again before the next write.
        with suppress(sqlite3.Error):
            self._roll_back_unfinished()
            self._reload_stale()

    def _roll_back_unfinished(self) -> None:
        """End the transaction of a group that failed; SQLite has done so itself after most errors."""
        if self.connection.in_transaction:
            self.connection.execute("ROLLBACK")

    def _reload_stale(self) -> None:
        """Make memory agree with the tables again after a failed commit; until that succeeds nothing is written."""
        while self._stale:
            participant = next(iter(self._stale))
            participant.discard()
            participant.reload()
            self._stale.pop(participant)

    async def check(self) -> None:
        """Write something, to know whether that is possible; raises CosmosError as every write does."""
        now = int(time.time())
        await self.write(lambda: self.connection.execute("INSERT OR REPLACE INTO health VALUES (1, ?)", (now,)))

    async def query(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        """Run ``work`` on a thread with a connection of its own, which sees what is committed when it starts.

        Raises CosmosError for a statement that fails: 404 when it is about a container that was deleted meanwhile.
        """
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._on_reader, work)

    def _on_reader(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        try:
            reader = self._readers.get_nowait()
        except queue.Empty:
            reader = self._connect(READER_CACHE_KIBIBYTES)
            reader.execute("PRAGMA query_only=1")
        try:
            return work(reader)
        except sqlite3.Error as error:
            if not is_missing_table(error):
                log.exception("a query failed")
            raise statement_failed(error) from error
        finally:
            self._readers.put(reader)

    def _checkpoint_regularly(self) -> None:
        # Without a timeout: waiting for a long query to end, a checkpoint would keep every writer waiting too.
        connection = self._connect(1024)
        connection.execute("PRAGMA busy_timeout=0")
        wal = self._path.with_name(self._path.name + "-wal")
        try:
            while not self._closing.is_set():
                self._written.wait()
                self._closing.wait(CHECKPOINT_SECONDS)
                self._written.clear()
                # On a full disk too: the log stays as it is, and the next write brings the next try.
                with suppress(sqlite3.Error, OSError):
                    connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
                    # After the passive pass few pages are left, so writers wait only for those. With a query under
                    # way this does nothing; the log shrinks a second later.
                    if wal.exists() and wal.stat().st_size > LOG_BYTES:
                        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        finally:
            connection.close()

    def close(self) -> None:
        """Commit what waits, bring the log into the file and close."""
        self.commit_waiting()
        self._pool.shutdown()
        self._closing.set()
        self._written.set()
        self._checkpointer.join()
        while not self._readers.empty():
            self._readers.get().close()
        try:
            self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        except sqlite3.Error as error:
            # The next start finds everything in the log.
            log.warning("the log could not be brought into the file", error=str(error))
        self.connection.close()


def _log_failure(future: asyncio.Future[object]) -> None:
    error = None if future.cancelled() else future.exception()
    if error is not None:
        log.warning("background work failed", error=str(error))
