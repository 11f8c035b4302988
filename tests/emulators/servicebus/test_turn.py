from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import pytest

from cloudscale.emulators.servicebus.journal import Journal, JournalError
from cloudscale.emulators.servicebus.turn import SyncPolicy, Turn

if TYPE_CHECKING:
    from pathlib import Path


class Answers:
    """An outbox with one answer in it."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def take(self) -> bytes:
        return b"accepted"

    def send(self, data: bytes) -> None:
        self.sent.append(data)


async def turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_a_write_that_fails_for_one_connection_silences_the_others(tmp_path: Path) -> None:
    journal = Journal(tmp_path, segment_bytes=10)
    for _ in journal.replay():
        pass
    answers = Answers()
    turn = Turn(journal, SyncPolicy.INTERVAL)
    journal.append(b"what another connection sent, and a segment full")
    turn.touch(answers)
    os.dup2(os.open(os.devnull, os.O_RDONLY), journal.segments[0].descriptor)
    with pytest.raises(JournalError):
        journal.append(b"what finds the segment full and writes it")
    await turns(5)
    assert answers.sent == []
    journal.close()
