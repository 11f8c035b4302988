"""What the commands about outlets print and change."""

from __future__ import annotations

import asyncio
import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import msgspec
import pytest
from tests.archive.archiving import events
from typer.testing import CliRunner

from cloudscale.commands.cli import app
from cloudscale.errors import ConfigurationError
from cloudscale.outlets.attempts import Attempts
from cloudscale.outlets.parked import ParkedEvents, parked
from cloudscale.outlets.state import State, StateStore
from cloudscale.pipeline import Store, as_document, load
from cloudscale.settings import Settings, as_environment
from cloudscale.store.events import EventStore

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)


@pytest.fixture
def spec() -> Store:
    """A database of the test's own."""
    return Store(database=f"d{uuid.uuid4().hex[:12]}")


@pytest.fixture(autouse=True)
def pipeline(spec: Store, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipeline with two outlets, which the environment names."""
    webhook = {"url": "https://crm.example/hooks", "secretRef": {"name": "hook", "key": "secret"}}
    resource = load(
        {
            "apiVersion": "cloudscale.io/v1alpha1",
            "kind": "EventPipeline",
            "metadata": {"name": "shop"},
            "spec": {
                "store": {"database": spec.database},
                "outlets": [{"name": "crm", "webhook": webhook}, {"name": "lake", "webhook": webhook}],
            },
        }
    )
    file = tmp_path / "pipeline.json"
    file.write_bytes(msgspec.json.encode(as_document(resource)))
    given = msgspec.structs.replace(settings, pipeline_file=str(file))
    for name, value in as_environment(given).items():
        monkeypatch.setenv(name, value)


def outlets(*words: str) -> str:
    """What a command prints."""
    result = CliRunner().invoke(app, ("outlets", *words))
    if result.exception is not None:
        raise result.exception
    return result.output


def change(spec: Store, settings: Settings, made: Callable[[State], State]) -> State:
    """Change the state of the outlet crm, as its process does."""

    async def go() -> State:
        async with EventStore(spec, settings) as store:
            await store.ensure(followers=True, outlets=True)
            return await StateStore(store, "crm").change(made)

    return asyncio.run(go())


def state(spec: Store, settings: Settings) -> State:
    return change(spec, settings, lambda state: state)


def park(spec: Store, settings: Settings, count: int) -> None:
    """Let the outlet crm park events."""

    async def go() -> None:
        async with EventStore(spec, settings) as store:
            await store.ensure(followers=True, outlets=True)
            await ParkedEvents(store, "crm").put(
                parked(event, outlet="crm", at=NOW + timedelta(seconds=number), attempts=9, reason="answers [500]")
                for number, event in enumerate(events(0, count))
            )

    asyncio.run(go())


def test_the_list_says_how_each_outlet_stands(spec: Store, settings: Settings) -> None:
    attempts = Attempts(since=NOW, count=3, next_at=NOW + timedelta(minutes=5), error="answers 503")
    change(spec, settings, lambda state: msgspec.structs.replace(state, failing={"00-FF": attempts}))
    park(spec, settings, 2)
    crm, lake = msgspec.json.decode(outlets("list", "--json"))
    assert (crm["state"], crm["parked"], crm["problem"]) == ("failing", 2, "answers 503")
    assert crm["failingSince"] == "2026-11-29T12:00:00Z"
    assert (lake["name"], lake["state"]) == ("lake", "new")
    assert "https://crm.example/hooks" in outlets("list")


def test_an_outlet_is_paused_and_goes_on(spec: Store, settings: Settings) -> None:
    assert "outlet crm is paused" in outlets("pause", "crm")
    assert state(spec, settings).paused
    assert msgspec.json.decode(outlets("list", "--json"))[0]["state"] == "paused"
    assert "outlet crm goes on" in outlets("resume", "crm")
    assert state(spec, settings).is_sending


def test_an_ended_outlet_is_resumed(spec: Store, settings: Settings) -> None:
    change(spec, settings, lambda state: msgspec.structs.replace(state, ended_at=NOW))
    assert msgspec.json.decode(outlets("list", "--json"))[0]["state"] == "ended"
    outlets("resume", "crm")
    assert state(spec, settings).is_sending


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-01", datetime(2026, 11, 1, tzinfo=UTC)),
        ("2026-11-01T12:00:00Z", datetime(2026, 11, 1, 12, tzinfo=UTC)),
        ("2026-11-01T12:00:00+02:00", datetime(2026, 11, 1, 10, tzinfo=UTC)),
    ],
)
def test_an_outlet_is_told_where_to_go_on(spec: Store, settings: Settings, text: str, moment: datetime) -> None:
    assert moment.isoformat() in outlets("rewind", "crm", "--to", text)
    assert state(spec, settings).rewind_to == moment


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("rewind", "crm", "--to", "yesterday"), "--to yesterday is no time"),
        (("rewind", "crm", "--to", "2999-01-01"), "is in the future"),
        (("pause", "mcr"), "pipeline shop has no outlet mcr: it has crm, lake"),
        (("replay", "crm"), "name events by their ids, or choose all"),
        (("discard", "crm", "e1", "--all"), "name events by their ids, or choose all"),
    ],
)
def test_what_cannot_be_done_is_refused_with_the_reason(words: tuple[str, ...], reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        outlets(*words)


def test_parked_events_are_shown_sent_again_and_discarded(spec: Store, settings: Settings) -> None:
    assert outlets("parked", "crm") == "nothing is parked\n"
    park(spec, settings, 5)
    assert [each["eventId"] for each in msgspec.json.decode(outlets("parked", "crm", "--json"))] == [
        f"e{number}" for number in range(5)
    ]
    assert "answers [500]" in outlets("parked", "crm")
    assert outlets("discard", "crm", "e1", "e7") == "1 events are discarded\n"
    assert "2 events are sent again" in outlets("replay", "crm", "e0", "e2")
    wanted = {each["eventId"]: each["isWanted"] for each in msgspec.json.decode(outlets("parked", "crm", "--json"))}
    assert wanted == {"e0": True, "e2": True, "e3": False, "e4": False}
    assert "2 events are sent again" in outlets("replay", "crm", "--all")
