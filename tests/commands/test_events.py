"""``cloudscale events`` as a person uses it: what it says, and with which code it ends."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from tests.replay.api import Answer, results, serving

from cloudscale.local.ports import find_free_ports

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

INTERRUPTED = 130


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "events.jsonl"
    path.write_text("".join(json.dumps({"eventId": f"e-{number}"}) + "\n" for number in range(3000)))
    return path


@asynccontextmanager
async def replaying(file: Path, url: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A replay of a file; it is gone afterwards, whatever the test found."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "cloudscale.commands.cli", "events", "replay", str(file)),
        *("--url", url, "--data-dir", str(file.parent / "data"), "--in-flight", "1"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def test_whoever_interrupts_a_replay_is_told_how_to_go_on_and_can(file: Path) -> None:
    processes: list[asyncio.subprocess.Process] = []

    def answer(number: int, events: list[dict[str, Any]]) -> Answer:
        if number >= 3 and processes[0].returncode is None:
            # However long it takes until the signal is heard, no more than two requests are answered before.
            processes[0].send_signal(signal.SIGINT)
            return 503, {}, {"detail": "later"}
        return 202, {}, results(*[202] * len(events))

    async with serving(answer) as api:
        async with replaying(file, api.url) as first, asyncio.timeout(100):
            processes.append(first)
            _, said = await first.communicate()
        async with replaying(file, api.url) as again, asyncio.timeout(100):
            summary, _ = await again.communicate()

    assert processes[0].returncode == INTERRUPTED
    assert "interrupted: give the same command again to go on, after line 1,000" in said.decode()
    assert "Traceback" not in said.decode()
    assert (again.returncode, summary.decode().split(" in ")[0]) == (0, "3,000 accepted, 0 duplicates, 0 rejected")


async def test_a_wrong_address_ends_a_replay_in_a_sentence(file: Path) -> None:
    (port,) = find_free_ports("127.0.0.1", 1)

    async with replaying(file, f"http://127.0.0.1:{port}") as process, asyncio.timeout(100):
        _, said = await process.communicate()

    assert process.returncode == 1
    assert said.decode() == (
        f"error: http://127.0.0.1:{port} cannot be reached: connection refused. Is the pipeline running, and is this "
        "its address? --url gives another one\n"
    )
