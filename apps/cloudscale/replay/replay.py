"""Sends the events of a file, a few batches at a time, and goes on after an interruption."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from cloudscale.private_files import PRIVATE_DIRECTORY, open_private
from cloudscale.replay.checkpoint import Checkpoint, CheckpointFile, Tally, keeping_state
from cloudscale.replay.client import PATIENCE_SECONDS, EventClient, Result
from cloudscale.replay.source import Digest, Line, fingerprint, prepare, read_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

BATCH_BYTES = 4 * 1024 * 1024
"""Below the API's bound of 5 MB for one request."""

BATCH_EVENTS = 500
IN_FLIGHT = 4


@dataclass(frozen=True, kw_only=True)
class ReplayOptions:
    """What to send where. ``state_folder`` keeps the checkpoint and the events that were rejected."""

    path: Path
    url: str
    state_folder: Path
    batch_size: int = BATCH_EVENTS
    in_flight: int = IN_FLIGHT
    key: str | None = field(default=None, repr=False)
    """The API key or token that goes with each request."""
    patience_seconds: float = PATIENCE_SECONDS
    """An API that has answered nothing useful for so long is given up."""


@dataclass(kw_only=True)
class ReplayReport:
    """How far a replay has come. ``position`` is how many bytes of the file have an answer."""

    tally: Tally = field(default_factory=Tally)
    resumed_at: int = 0
    """The line that an earlier replay had come to."""
    resumed_with: int = 0
    """Events of the tally that it had counted."""
    line: int = 0
    """Up to this line every event has an answer."""
    position: int = 0
    rejected_path: Path | None = None
    """Where the rejected events are, if there were any."""


class _Part(msgspec.Struct):
    """Lines that go into one request, and those of the same stretch that cannot be events."""

    lines: list[Line] = []
    events: list[bytes] = []
    refused: list[tuple[Line, str]] = []
    last: int = 0
    position: int = 0
    digest: str = ""


class _Rejection(msgspec.Struct, kw_only=True):
    """A line of the file with the rejected events."""

    line: int
    status: int
    problem: object
    event: str


async def replay(
    options: ReplayOptions,
    *,
    progress: Callable[[ReplayReport], None],
    notify: Callable[[str], None] | None = None,
) -> ReplayReport:
    """Send every event of the file, telling ``progress`` after each request, and ``notify`` what it waits for.

    Every event is sent at least once, and its id makes that count once. The checkpoint moves only over lines that all
    have an answer, so an interruption at any point costs at most the requests that were in flight.

    Raises:
        ConfigurationError: the file cannot be read, the checkpoint not be kept, or the address is none of an API.
        BackendUnavailableError: the API stayed away; the same call later goes on where this one ended.
    """
    origin = fingerprint(options.path)
    with keeping_state(options.state_folder):
        files = CheckpointFile(options.state_folder, fingerprint=origin, url=options.url)
    with contextlib.ExitStack() as lock:
        with keeping_state(options.state_folder):
            lock.enter_context(files.locked())
        return await _replay(options, origin, files, progress=progress, notify=notify)


async def _replay(
    options: ReplayOptions,
    origin: str,
    files: CheckpointFile,
    *,
    progress: Callable[[ReplayReport], None],
    notify: Callable[[str], None] | None,
) -> ReplayReport:
    with keeping_state(options.state_folder):
        checkpoint = files.load()
    digest = Digest()
    lines = read_lines(options.path)
    _skip(lines, digest, line=checkpoint.line)
    if checkpoint.line and digest.value != checkpoint.digest:
        # The file begins otherwise than the one whose replay was interrupted.
        checkpoint, digest, lines = Checkpoint(), Digest(), read_lines(options.path)
    with keeping_state(options.state_folder):
        answers = _Answers(options, files, checkpoint)
    waiting: deque[tuple[_Part, asyncio.Task[list[Result]]]] = deque()

    async def take_first() -> None:
        part, task = waiting[0]
        results = await task
        waiting.popleft()
        with keeping_state(options.state_folder):
            answers.add(part, results)
        progress(answers.report)

    async with EventClient(
        options.url,
        connections=options.in_flight,
        key=options.key,
        notify=notify,
        patience_seconds=options.patience_seconds,
    ) as client:
        try:
            for part in _parts(lines, digest, origin=origin, size=options.batch_size):
                waiting.append((part, asyncio.create_task(client.send_batch(part.events))))
                if len(waiting) == options.in_flight:
                    await take_first()
            while waiting:
                await take_first()
        finally:
            for _, task in waiting:
                task.cancel()
            await asyncio.gather(*(task for _, task in waiting), return_exceptions=True)
    with keeping_state(options.state_folder):
        answers.finish()
    return answers.report


class _Answers:
    """Takes the answers in the order of the file and writes down how far it has come."""

    def __init__(self, options: ReplayOptions, files: CheckpointFile, checkpoint: Checkpoint) -> None:
        self._files = files
        self._checkpoint = checkpoint
        self._rejected_path = options.state_folder / f"{options.path.name.strip('-') or 'stdin'}.rejected.jsonl"
        self.report = ReplayReport(resumed_at=self._checkpoint.line, resumed_with=self._checkpoint.tally.total)
        self.report.tally.add(self._checkpoint.tally)
        if not self._checkpoint.line:
            self._rejected_path.unlink(missing_ok=True)
            # Should there be no place for it, that is better known before anything is sent.
            self._files.save(self._checkpoint)
        elif self._rejected_path.exists():
            self.report.rejected_path = self._rejected_path

    def add(self, part: _Part, results: Sequence[Result]) -> None:
        """Count the answers to one part, which follows on the one before."""
        rejections = [
            _Rejection(line=line.number, status=0, problem=reason, event=line.content.decode(errors="replace"))
            for line, reason in part.refused
        ]
        tally = Tally()
        for line, result in zip(part.lines, results, strict=True):
            if result.is_accepted:
                tally.accepted += 1
            elif result.is_duplicate:
                tally.duplicates += 1
            else:
                event = line.content.decode(errors="replace")
                rejections.append(
                    _Rejection(line=line.number, status=result.status, problem=result.problem, event=event)
                )
        tally.rejected = len(rejections)
        self._keep(rejections)
        self.report.tally.add(tally)
        self.report.position = part.position
        self.report.line = part.last
        self._checkpoint = Checkpoint(line=part.last, digest=part.digest, tally=self.report.tally)
        self._files.save(self._checkpoint)

    def finish(self) -> None:
        """The file is done: the next replay of it starts at its first line."""
        self._files.remove()

    def _keep(self, rejections: Iterable[_Rejection]) -> None:
        lines = [msgspec.json.encode(rejection) + b"\n" for rejection in rejections]
        if lines:
            self._rejected_path.parent.mkdir(mode=PRIVATE_DIRECTORY, parents=True, exist_ok=True)
            with open_private(self._rejected_path, "ab") as file:
                file.writelines(lines)
            self.report.rejected_path = self._rejected_path


def _skip(lines: Iterator[Line], digest: Digest, *, line: int) -> None:
    """Take the lines up to this one."""
    if line:
        for each in lines:
            digest.add(each)
            if each.number >= line:
                return


def _parts(lines: Iterable[Line], digest: Digest, *, origin: str, size: int) -> Iterator[_Part]:
    part, part_bytes = _Part(), 0
    for line in lines:
        try:
            event, reason = prepare(line, origin=origin), ""
        except ValueError as error:
            event, reason = line.content, str(error)
        # Also what is refused takes memory and has to be written down, however much of it there is.
        is_full = size in (len(part.events), len(part.refused)) or part_bytes + len(event) >= BATCH_BYTES
        if part.last and is_full:
            part.digest = digest.value
            yield part
            part, part_bytes = _Part(), 0
        digest.add(line)
        if reason:
            part.refused.append((line, reason))
        else:
            part.lines.append(line)
            part.events.append(event)
        part_bytes += len(event) + 1
        part.last, part.position = line.number, line.position
    if part.last:
        part.digest = digest.value
        yield part
