from __future__ import annotations

from typing import TYPE_CHECKING

from cloudscale.replay.checkpoint import Tally
from cloudscale.replay.progress import ReplayProgress
from cloudscale.replay.replay import ReplayReport
from cloudscale.replay.source import STANDARD_INPUT

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_the_summary_says_what_became_of_the_events(tmp_path: Path) -> None:
    report = ReplayReport(
        tally=Tally(accepted=1200, duplicates=30, rejected=1), resumed_at=40, rejected_path=tmp_path / "rejected.jsonl"
    )

    with ReplayProgress(tmp_path / "events.jsonl", live=False) as progress:
        summary = progress.summary(report)

    assert summary.startswith("1,200 accepted, 30 duplicates, 1 rejected in ")
    assert "resumed after line 40" in summary
    assert f"rejected events: {tmp_path / 'rejected.jsonl'}" in summary


def test_the_rate_is_that_of_this_session(tmp_path: Path) -> None:
    report = ReplayReport(tally=Tally(accepted=1_000_000), resumed_at=1_000_000, resumed_with=1_000_000)

    assert "(0/s)" in ReplayProgress(tmp_path / "events.jsonl", live=False).summary(report)


def test_what_a_replay_waits_for_is_told_on_the_error_stream(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with ReplayProgress(tmp_path / "events.jsonl", live=False) as progress:
        progress.notify("[::1] cannot be reached")

    assert capsys.readouterr() == ("", "[::1] cannot be reached\n")


def test_the_bar_goes_to_the_error_stream_and_leaves_the_output_to_the_summary(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text("x" * 100)
    with ReplayProgress(path, live=True) as progress:
        progress.show(ReplayReport(tally=Tally(accepted=7), position=50))

    shown = capsys.readouterr()
    assert shown.out == ""
    assert "7 events" in shown.err


def test_whoever_interrupts_is_told_how_to_go_on(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text("x" * 100)
    progress = ReplayProgress(path, live=False)
    progress.show(ReplayReport(line=1500))

    assert progress.how_to_go_on() == "interrupted: give the same command again to go on, after line 1,500"


def test_whoever_interrupts_a_pipe_is_told_that_it_cannot_be_gone_on_with() -> None:
    assert "cannot be gone on with" in ReplayProgress(STANDARD_INPUT, live=False).how_to_go_on()
