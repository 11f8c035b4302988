from __future__ import annotations

import errno
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from cloudscale.local.display import LiveDisplay, PlainDisplay, render
from cloudscale.local.probes import TcpProbe
from cloudscale.local.process import ProcessPlan
from cloudscale.local.readings import Reading, describe
from cloudscale.local.supervisor import State, Supervised

READING = Reading(
    accepted_per_second=4200.4,
    persisted_per_second=4100,
    p99_seconds=0.0234,
    accepted=69_660,
    in_flight=60,
    duplicates=500,
    dead_letters=100,
    concurrency_limit=32,
)


def processes() -> dict[str, Supervised]:
    probe = TcpProbe("127.0.0.1", (1,))
    plan = ProcessPlan(name="worker", command=("worker",), ready=probe, alive=probe, stage=0)
    return {"worker": Supervised(plan, state=State.BACKING_OFF, restarts=3)}


def text_of(renderable: object) -> str:
    console = Console(width=100)
    with console.capture() as captured:
        console.print(renderable)
    return captured.get()


def test_a_link_stays_in_one_piece_in_a_narrow_terminal() -> None:
    output = io.StringIO()
    link = "http://127.0.0.1:8081/sign-in#token=" + "x" * 40
    with LiveDisplay(Console(file=output, width=40, force_terminal=True)) as display:
        display.notify(link)

    assert link in output.getvalue()


def test_figures_are_told_as_people_read_them() -> None:
    told = describe(READING)

    assert told["in/s"] == "4,200"
    assert told["p99"] == "23 ms"
    assert told["depth"] == "60"
    assert told["persisted"] == "69,000"


def test_what_is_reserved_and_not_yet_accepted_does_not_make_persisted_negative() -> None:
    assert Reading(accepted=1, in_flight=1000).persisted == 0


def test_the_table_shows_states_restarts_and_figures() -> None:
    shown = text_of(render(processes(), READING))

    assert "backing off" in shown
    assert " 3" in shown
    assert "69,660" in shown


def test_the_table_says_when_there_are_no_figures() -> None:
    assert "waiting for Redis" in text_of(render(processes(), None))


def test_plain_lines_are_printed_when_the_figures_change(capsys: pytest.CaptureFixture[str]) -> None:
    with PlainDisplay() as display:
        for reading in (READING, READING, None):
            display.update(processes(), reading)

    assert capsys.readouterr().out.count("accepted 69,660") == 1


def test_a_quiet_run_prints_notices_alone(capsys: pytest.CaptureFixture[str]) -> None:
    with PlainDisplay(quiet=True) as display:
        display.notify("worker is back")
        display.update(processes(), READING)

    assert capsys.readouterr().out == "worker is back\n"


@pytest.mark.parametrize("is_full", [False, True], ids=["nobody reads", "the disk is full"])
def test_a_run_goes_on_when_its_output_cannot_be_written(*, is_full: bool) -> None:
    program = (
        "import sys; from cloudscale.local.display import PlainDisplay; display = PlainDisplay();"
        "display.notify('a'); display.notify('b'); print('went on', file=sys.stderr)"
    )
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as closed, Path("/dev/full").open("wb") as full:
        result = subprocess.run(
            (sys.executable, "-c", program),
            stdout=full if is_full else closed,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )

    assert result.stderr.startswith("went on")
    assert is_full or (result.returncode, result.stderr) == (0, "went on\n")


def test_a_run_goes_on_when_its_terminal_is_gone() -> None:
    class Gone(io.StringIO):
        def write(self, _text: str) -> int:
            raise OSError(errno.EIO, "Input/output error")

    display = LiveDisplay(Console(file=Gone(), force_terminal=True))

    display.notify("worker is back")
    display.update(processes(), READING)


def test_the_live_table_is_drawn_below_the_notices() -> None:
    terminal = Console(file=io.StringIO(), force_terminal=True, width=100)
    with LiveDisplay(terminal) as display:
        display.notify("[worker] is back")
        display.update(processes(), READING)

    assert isinstance(terminal.file, io.StringIO)
    printed = terminal.file.getvalue()
    assert printed.index("[worker] is back") < printed.index("69,660")
