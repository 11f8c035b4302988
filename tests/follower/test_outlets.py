"""The process that sends to outlets: none of its events is lost, however often and whenever it is killed."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import uuid
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from tests.archive.archiving import events
from tests.outlets.receiving import receiving
from tests.outlets.sending import outlet, resource
from tests.servers.process import AnsweringServer, answers_ok, running
from tests.store.creating import create_all
from tests.waiting import wait_until

from cloudscale import pipeline
from cloudscale.local.ports import find_free_ports
from cloudscale.pipeline import Store
from cloudscale.settings import as_environment
from cloudscale.store.events import EventStore

if TYPE_CHECKING:
    from pathlib import Path

    from tests.outlets.receiving import ReceiverServer

    from cloudscale.settings import Settings

MINUTE = timedelta(minutes=1)


@dataclass
class OutletsProcess(AnsweringServer):
    """A process that sends the events of a store to outlets."""

    settings: Settings
    spec: Store
    outlets: list[dict[str, Any]] = field(default_factory=list)
    secrets: dict[str, str] = field(default_factory=dict)
    port: int = 0

    def send_to(self, receiver: ReceiverServer, **fields: Any) -> None:
        """Have one outlet more."""
        given = outlet(receiver, **fields)
        self.outlets.append(given)
        self.secrets[f"CLOUDSCALE_OUTLET_SECRET_{given['name'].upper()}"] = receiver.secret

    def command(self) -> list[str]:
        """The program on a port of its own, with the resource written down."""
        if not self.port:
            (self.port,) = find_free_ports("127.0.0.1", 1)
        document = pipeline.as_document(resource(self.spec, *self.outlets))
        (self.directory / "pipeline.json").write_bytes(msgspec.json.encode(document))
        return [sys.executable, "-m", "cloudscale.follower", "outlets"]

    def environment(self) -> dict[str, str]:
        """Where the store is, and the secrets."""
        given = msgspec.structs.replace(
            self.settings, pipeline_file=str(self.directory / "pipeline.json"), metrics_port=self.port, redis_url="none"
        )
        return {**os.environ, **as_environment(given), **self.secrets}

    def is_ready(self) -> bool:
        """Whether it answers."""
        return answers_ok(f"http://127.0.0.1:{self.port}/ready")


@pytest.fixture
def sender(tmp_path: Path, settings: Settings) -> OutletsProcess:
    return OutletsProcess(tmp_path, settings, Store(database=f"d{uuid.uuid4().hex[:12]}"))


async def took_all(receiver: ReceiverServer, count: int) -> None:
    async def has_them() -> bool:
        return len(set(receiver.ids())) >= count

    await wait_until(has_them, within=MINUTE)


@pytest.mark.fault
@pytest.mark.parametrize("seed", range(3))
async def test_a_sender_that_is_killed_at_random_loses_no_event(
    sender: OutletsProcess, settings: Settings, seed: int
) -> None:
    schedule = random.Random(seed)
    count = 0
    async with receiving() as receiver, EventStore(sender.spec, settings) as store:
        await store.ensure()
        sender.send_to(receiver, batch=schedule.choice((1, 7, 100)))
        for _ in range(4):
            with running(sender):
                before = len(set(receiver.ids()))
                for _ in range(schedule.randrange(1, 4)):
                    await create_all(store, events(count, 50))
                    count += 50
                if schedule.random() < 0.7:
                    # Killed while it sends, or right after.
                    await took_all(receiver, before + schedule.randrange(1, 40))
                sender.kill()
        with running(sender):
            await create_all(store, events(count, 10))
            await took_all(receiver, count + 10)
    assert set(receiver.ids()) == {f"e{number}" for number in range(count + 10)}


async def test_a_receiver_that_hangs_delays_no_other_and_a_stop_gives_the_place_back(
    sender: OutletsProcess, settings: Settings
) -> None:
    async with (
        receiving() as hanging,
        receiving() as receiver,
        EventStore(sender.spec, settings) as store,
    ):
        hanging.hangs = True
        await store.ensure()
        sender.send_to(hanging, name="hanging")
        sender.send_to(receiver, name="crm", batch=10)
        with running(sender):
            await create_all(store, events(0, 50))
            await took_all(receiver, 50)
            assert sender.stop() == 0
        hanging.hangs = False
        with running(sender):
            await took_all(hanging, 50)
    assert len(receiver.ids()) == 50


def test_without_outlets_there_is_nothing_to_send(sender: OutletsProcess) -> None:
    done = subprocess.run(
        sender.command(), env=sender.environment(), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert "follower cannot start: pipeline shop has no outlets" in done.stderr


async def test_without_a_secret_nothing_is_sent(sender: OutletsProcess) -> None:
    async with receiving() as receiver:
        sender.send_to(receiver)
        sender.secrets.clear()
        done = subprocess.run(  # noqa: ASYNC221 - nobody else waits
            sender.command(), env=sender.environment(), capture_output=True, text=True, timeout=60, check=False
        )
    assert done.returncode == 2
    assert "outlet crm has no secret to sign with: set CLOUDSCALE_OUTLET_SECRET_CRM" in done.stderr
