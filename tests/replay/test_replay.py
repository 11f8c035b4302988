from __future__ import annotations

import asyncio
import errno
import gzip
import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.replay.api import Answer, results, serving

from cloudscale.errors import BackendUnavailableError, ConfigurationError
from cloudscale.replay.checkpoint import Checkpoint, CheckpointFile
from cloudscale.replay.replay import ReplayOptions, ReplayReport, replay
from cloudscale.replay.source import LINE_BYTES, fingerprint, prepare, read_lines

if TYPE_CHECKING:
    from collections.abc import Callable

LINES = [json.dumps({"eventId": f"e-{number}"}) for number in range(10)]


def options(path: Path, url: str, **others: Any) -> ReplayOptions:
    return ReplayOptions(path=path, url=url, state_folder=path.parent / "replays", **others)


@pytest.fixture
def events(tmp_path: Path) -> Path:
    path = tmp_path / "events.jsonl"
    path.write_text("\n".join(LINES))
    return path


def write(path: Path, lines: list[str]) -> None:
    path.write_text("\n".join(lines))


def ignore(report: ReplayReport) -> None:
    pass


def accept(_: int, events: list[dict[str, Any]]) -> Answer:
    return 202, {}, results(*[202] * len(events))


async def test_a_file_is_sent_in_batches_of_the_wanted_size(events: Path) -> None:
    async with serving(accept) as api:
        report = await replay(options(events, api.url, batch_size=4, in_flight=1), progress=ignore)

    assert [len(batch) for batch in api.requests] == [4, 4, 2]
    assert report.tally.accepted == 10
    assert report.position == len("\n".join(LINES))


async def test_an_interrupted_replay_goes_on_after_the_last_answered_line(events: Path) -> None:
    def answer(number: int, events: list[dict[str, Any]]) -> Answer:
        return (503, {}, {"detail": "away"}) if number == 2 else accept(number, events)

    async with serving(answer) as api:
        with pytest.raises(BackendUnavailableError):
            await replay(options(events, api.url, batch_size=4, in_flight=1, patience_seconds=0), progress=ignore)
        sent_before = len(api.requests)
        report = await replay(options(events, api.url, batch_size=4, in_flight=1), progress=ignore)

    assert (report.resumed_at, report.resumed_with) == (4, 4)
    assert report.tally.accepted == 10
    assert [event["eventId"] for batch in api.requests[sent_before:] for event in batch] == [
        f"e-{number}" for number in range(4, 10)
    ]


async def test_a_finished_replay_starts_anew(events: Path) -> None:
    async with serving(accept) as api:
        await replay(options(events, api.url), progress=ignore)
        report = await replay(options(events, api.url), progress=ignore)

    assert report.resumed_at == 0
    assert len(api.requests) == 2


async def test_another_file_does_not_go_on_where_this_one_was(events: Path) -> None:
    state = events.parent / "replays"
    state.mkdir()
    (state / "0123456789abcdef.json").write_text('{"line": 5, "digest": "", "tally": {}}')

    async with serving(accept) as api:
        report = await replay(options(events, api.url), progress=ignore)

    assert report.tally.accepted == 10


@pytest.mark.parametrize("compress", [bytes, gzip.compress], ids=["plain", "compressed"])
async def test_a_pipe_is_sent_to_its_end(tmp_path: Path, compress: Callable[[bytes], bytes]) -> None:
    reading, writing = os.pipe()
    with os.fdopen(writing, "wb") as pipe:
        pipe.write(compress("\n".join(LINES).encode()))
    with os.fdopen(reading, "rb"):
        async with serving(accept) as api:
            wanted = ReplayOptions(path=Path(f"/dev/fd/{reading}"), url=api.url, state_folder=tmp_path)
            report = await replay(wanted, progress=ignore)

    assert report.tally.accepted == 10
    assert [len(batch) for batch in api.requests] == [10]


async def test_lines_that_are_no_events_are_written_down_part_by_part(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text("no event\n" * 10)
    rejected: list[int] = []

    async with serving(accept) as api:
        report = await replay(
            options(path, api.url, batch_size=4, in_flight=1),
            progress=lambda so_far: rejected.append(so_far.tally.rejected),
        )

    assert rejected == [4, 8, 10]
    assert report.rejected_path is not None
    assert len(report.rejected_path.read_text().splitlines()) == 10
    assert api.requests == []


async def test_a_line_that_is_nested_too_deep_is_rejected_and_the_others_are_sent(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text("\n".join([LINES[0], '{"a":' + "[" * 3000 + "]" * 3000 + "}", LINES[1]]))

    async with serving(accept) as api:
        report = await replay(options(path, api.url), progress=ignore)

    assert (report.tally.accepted, report.tally.rejected) == (2, 1)


async def test_nothing_is_sent_where_the_checkpoint_cannot_be_kept(events: Path) -> None:
    (events.parent / "replays").write_text("in the way")

    async with serving(accept) as api:
        with pytest.raises(ConfigurationError, match=r"cannot be kept in .*/replays \(Not a directory\).*--data-dir"):
            await replay(options(events, api.url), progress=ignore)

    assert api.requests == []


async def test_a_disk_that_gets_full_ends_a_replay_with_what_to_do(
    events: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def replay_it() -> None:
        await replay(options(events, api.url, batch_size=4, in_flight=1), progress=lambda _: fill_the_disk())

    def fill_the_disk() -> None:
        def fail(_self: CheckpointFile, _checkpoint: Checkpoint) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(CheckpointFile, "save", fail)

    async with serving(accept) as api:
        with pytest.raises(ConfigurationError, match=r"\(No space left on device\): make room"):
            await replay_it()


def test_compressed_files_are_recognised_by_their_content(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(gzip.compress(b'{"eventId":"a"}\n\n{"eventId":"b"}\n'))

    lines = list(read_lines(path))

    assert [(line.number, line.content) for line in lines] == [(1, b'{"eventId":"a"}'), (3, b'{"eventId":"b"}')]


def test_a_line_of_any_length_takes_bounded_memory_and_counts_as_one(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(b"x" * (3 * LINE_BYTES) + b'\n{"eventId":"a"}\n' + b"y" * (2 * LINE_BYTES))

    lines = list(read_lines(path))

    assert [(line.number, len(line.content)) for line in lines] == [(1, LINE_BYTES), (2, 15), (3, LINE_BYTES)]
    assert lines[-1].position == path.stat().st_size


def test_a_truncated_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"eventId":"a"}\n' * 1000)[:-20])

    with pytest.raises(ConfigurationError, match=r"events\.jsonl\.gz cannot be read to its end"):
        list(read_lines(path))


def test_a_file_whose_compressed_data_is_broken_is_named(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl.gz"
    content = bytearray(gzip.compress(b'{"eventId":"a"}\n'))
    content[10:14] = b"\xff" * 4
    path.write_bytes(content)

    with pytest.raises(ConfigurationError, match=r"events\.jsonl\.gz cannot be read to its end"):
        list(read_lines(path))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"{not json", "not an event in JSON"),
        (b"[1]", "not an event in JSON"),
        (b'{"eventId": 7}', "not an event in JSON"),
        (b'"\xff"', "not an event in JSON"),
        (b'{"a":"' + b"x" * 70_000 + b'"}', "more than the 65536"),
        (b'{"eventId":\r"a"}', "a line break inside"),
        (b'{"a":1,"a":2}', "the key 'a' stands twice"),
        (b'{"eventId":"mine","a":1,"a":2}', "the key 'a' stands twice"),
    ],
)
def test_a_line_that_can_be_no_event_is_refused_with_the_reason(content: bytes, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(content + b"\n")
    (line,) = read_lines(path)

    with pytest.raises(ValueError, match=reason):
        prepare(line, origin="origin")


def ids(path: Path) -> list[str]:
    origin = fingerprint(path)
    return [json.loads(prepare(line, origin=origin))["eventId"] for line in read_lines(path)]


def test_an_event_without_an_identity_gets_one(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text('{"eventType":"page_view"}\n{"specversion":"1.0","id":"x"}\n{"eventId":"mine"}\n')
    origin = fingerprint(path)

    first, cloud_event, own = (json.loads(prepare(line, origin=origin)) for line in read_lines(path))

    assert re.fullmatch("[0-9a-f]{32}", first.pop("eventId"))
    assert first == {"eventType": "page_view"}
    assert cloud_event == {"specversion": "1.0", "id": "x"}
    assert own == {"eventId": "mine"}


@pytest.mark.parametrize("content", ['{"amount": 1.10, "n": 1e2}', "{ }", '{"eventId": null, "a": 1}', "{\t}"])
def test_what_an_event_says_is_sent_as_it_stands_there(content: str, tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text(content)
    (line,) = read_lines(path)

    sent = prepare(line, origin="origin")

    assert {**json.loads(content), "eventId": json.loads(sent)["eventId"]} == json.loads(sent)
    assert sent.count(b'"eventId"') == 1
    assert ("1.10" in content) == (b'"amount": 1.10, "n": 1e2' in sent)


def test_the_lines_of_a_file_are_the_same_ones_when_it_grew_was_renamed_or_compressed(tmp_path: Path) -> None:
    """Also equal lines are different events, and stay the ones that they were."""
    content = '{"a":1}\n{"a":1}\n\n{"b":2}'
    path, renamed, compressed = tmp_path / "a.jsonl", tmp_path / "b.jsonl", tmp_path / "a.jsonl.gz"
    path.write_text(content)
    before = ids(path)
    assert len(set(before)) == 3

    renamed.write_text("\N{BYTE ORDER MARK}" + content)
    compressed.write_bytes(gzip.compress(content.encode()))
    path.write_text(content + '\n{"c":3}\n')

    assert ids(renamed) == ids(compressed) == ids(path)[:3] == before


def test_a_line_that_was_changed_is_another_event(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text('{"a":1}\n{"b":2}')
    first, second = ids(path)
    path.write_text('{"a":1}\n{"b":3}')

    assert ids(path)[0] == first
    assert ids(path)[1] != second


async def interrupt(path: Path, url: str) -> None:
    """Leave a checkpoint after four lines."""
    api_is_away = False

    def progress(_: ReplayReport) -> None:
        nonlocal api_is_away
        api_is_away = True
        raise InterruptedReplayError

    with pytest.raises(InterruptedReplayError):
        await replay(options(path, url, batch_size=4, in_flight=1), progress=progress)
    assert api_is_away


class InterruptedReplayError(Exception):
    pass


async def test_an_interrupted_replay_goes_on_when_the_file_has_grown_and_was_compressed(events: Path) -> None:
    async with serving(accept) as api:
        await interrupt(events, api.url)
        grown = events.with_suffix(".gz")
        grown.write_bytes(gzip.compress(("\n".join([*LINES, '{"eventId":"new"}'])).encode()))
        report = await replay(options(grown, api.url), progress=ignore)

    assert (report.resumed_at, report.tally.accepted) == (4, 11)


async def test_a_file_that_begins_otherwise_by_now_is_sent_from_its_start(events: Path) -> None:
    async with serving(accept) as api:
        await interrupt(events, api.url)
        write(events, [LINES[0], '{"eventId":"other"}', *LINES[2:]])
        report = await replay(options(events, api.url), progress=ignore)

    assert (report.resumed_at, report.tally.accepted) == (0, 10)


async def test_a_file_that_is_shorter_by_now_is_sent_from_its_start(events: Path) -> None:
    async with serving(accept) as api:
        await interrupt(events, api.url)
        write(events, LINES[:2])
        report = await replay(options(events, api.url), progress=ignore)

    assert (report.resumed_at, report.tally.accepted) == (0, 2)


async def test_a_second_replay_of_the_same_file_is_refused_while_the_first_one_runs(events: Path) -> None:
    refused: list[str] = []

    async with serving(accept) as api:

        async def second() -> None:
            with pytest.raises(ConfigurationError, match="another replay of this file") as error:
                await replay(options(events, api.url), progress=ignore)
            refused.append(str(error.value))

        tasks: list[asyncio.Task[None]] = []
        report = await replay(
            options(events, api.url, batch_size=1, in_flight=1),
            progress=lambda _: tasks.append(asyncio.create_task(second())),
        )
        await asyncio.gather(*tasks[:5])
        again = await replay(options(events, api.url), progress=ignore)

    assert report.tally.accepted == again.tally.accepted == 10
    assert refused
