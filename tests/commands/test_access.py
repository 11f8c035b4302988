"""``cloudscale tenants``, ``keys`` and ``devices`` as an administrator types them."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from tests.servers.cosmos import cosmos_server
from tests.servers.redis import redis_server

from cloudscale.access import api_key
from cloudscale.access.container import open_access
from cloudscale.access.device_view import DeviceView
from cloudscale.access.given_keys import read
from cloudscale.access.new_keys import new_key
from cloudscale.access.records import Device, Key
from cloudscale.access.scopes import Scope
from cloudscale.access.sightings import DeviceName, Sighting, Sightings
from cloudscale.cache.connection import open_redis
from cloudscale.cache.keys import Keys
from cloudscale.commands import access, devices
from cloudscale.local.ports import find_free_ports
from cloudscale.pipeline import Store
from cloudscale.settings import Settings, as_environment, variable_name

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cloudscale.access.device_view import KnownDevice


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """What names the pipeline, as in one of its pods."""
    folder = tmp_path_factory.mktemp("pipeline")
    resource = {"apiVersion": "cloudscale.io/v1alpha1", "kind": "EventPipeline", "metadata": {"name": "shop"}}
    (folder / "pipeline.json").write_bytes(msgspec.json.encode(resource))
    with cosmos_server(folder / "cosmos") as cosmos, redis_server(tmp_path_factory.mktemp("redis")) as redis:
        settings = Settings(
            pipeline_file=str(folder / "pipeline.json"),
            redis_url=redis.url,
            cosmos_connection_string=cosmos.connection_string,
        )
        yield {**os.environ, **as_environment(settings)}


def typed(environment: dict[str, str], line: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cloudscale.commands.cli", *line.split()]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=90, env=environment)


def told(environment: dict[str, str], line: str) -> Any:
    done = typed(environment, f"{line} --json")
    assert done.returncode == 0, done.stderr
    return msgspec.json.decode(done.stdout)


def test_a_tenants_keys_from_the_first_to_the_last_day(environment: dict[str, str]) -> None:
    assert typed(environment, "tenants create acme --events-per-second 1000").returncode == 0
    made = typed(environment, "keys create --tenant acme --name web --expires 90d --event-type purchase")
    assert made.stdout.startswith("cs_")
    assert "it is not shown again" in made.stderr, "the key stands alone in the output, for key=$(…)"
    identity = made.stdout.split("_")[1]

    rotated = told(environment, f"keys rotate {identity} --tenant acme --overlap 1h")
    assert (rotated["eventTypes"], rotated["name"], "digest" in rotated) == (["purchase"], "web", False)
    changed = typed(environment, f"keys change {rotated['id']} --tenant acme --expires never --requests-per-second 5")
    assert "without an end  types purchase  5 requests/s" in changed.stdout
    changed = typed(environment, f"keys change {rotated['id']} --tenant acme --name app --requests-per-second usual")
    assert f"{rotated['id']}  app  events:write  without an end  types purchase\n" == changed.stdout
    revoked = typed(environment, f"keys revoke {identity} --tenant acme")
    assert f"replaced by {rotated['id']}" in revoked.stdout
    listed = {key["id"]: key for key in told(environment, "keys list --tenant acme")}
    assert listed.keys() == {identity, rotated["id"]}
    assert not any("key" in key or "digest" in key for key in listed.values())
    changed = typed(environment, "tenants change acme --disable")
    assert "1000 events/s  disabled" in changed.stdout
    assert [tenant["id"] for tenant in told(environment, "tenants list")] == ["acme"]


def test_a_given_key_is_written_into_a_file_and_asks_no_pipeline(tmp_path: Path) -> None:
    path = tmp_path / "keys.yaml"
    path.write_text("# who sends\n")
    nowhere = {name: value for name, value in os.environ.items() if not name.startswith("CLOUDSCALE_")}
    line = f"keys create --tenant acme --given {path} --data-dir {tmp_path / 'none'} --name"
    made = typed(nowhere, f"{line} web --expires 90d --event-type purchase")
    assert made.returncode == 0, made.stderr
    second = told(nowhere, f"{line} reports --scope events:read")

    text = path.read_text()
    assert text.startswith("# who sends\n- id: ")
    given = read(path.read_bytes())
    assert given.problems == ()
    key = api_key.parse(made.stdout.strip())
    assert key is not None
    assert key.secret not in text
    assert api_key.is_secret_of(key.secret, given.keys[key.id].digest)
    assert given.keys[key.id].event_types == frozenset({"purchase"})
    assert given.keys[second["id"]].scopes == frozenset({Scope.READ_EVENTS})


def test_a_file_of_json_stays_one(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    path.write_text("[]")
    assert typed(dict(os.environ), f"keys create --tenant acme --name web --given {path}").returncode == 0
    ((entry),) = msgspec.json.decode(path.read_bytes())
    assert entry["tenantId"] == "acme"


def test_a_file_that_is_something_else_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "values.yaml"
    path.write_text("image: cloudscale\n")
    done = typed(dict(os.environ), f"keys create --tenant acme --name web --given {path}")
    assert done.returncode != 0
    assert f"{path} cannot be added to: it is not a list of keys" in done.stderr
    assert path.read_text() == "image: cloudscale\n"


def test_a_device_and_what_is_known_of_it(environment: dict[str, str]) -> None:
    assert typed(environment, "tenants create home").returncode == 0
    made = told(environment, "devices create t-7 --tenant home --type thermostat --model T --metadata floor=3")
    assert (made["deviceId"], made["key"][:3]) == ("t-7", "cs_")
    refused = typed(environment, "keys create --tenant home --name web --device t-9")
    assert "there is no device t-9 of tenant home" in refused.stderr

    async def send() -> None:
        async with open_redis(environment["CLOUDSCALE_REDIS_URL"]) as redis:
            sighting = Sighting(1_764_331_200_000, 1_764_331_205_000, 90_500)
            keys = Keys(namespace="default", name="shop")
            await Sightings(redis, keys=keys).add([(DeviceName("home", "t-7"), sighting)])

    asyncio.run(send())
    listed = typed(environment, "devices list --tenant home").stdout
    assert listed.startswith("t-7  thermostat T  since ")
    assert listed.endswith("  last seen 2025-11-28 12:00:05 UTC  clock 90.5 s behind\n")
    shown = told(environment, "devices show t-7 --tenant home")
    assert shown["metadata"] == {"floor": "3"}
    assert (shown["lastSeen"], shown["skewSeconds"]) == ("2025-11-28T12:00:05Z", 90.5)
    assert (shown["firstSeen"], shown["keyIds"]) == ("2025-11-28T12:00:00Z", [made["id"]])


def test_a_list_has_all_keys_however_many(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "LISTED", 2)
    made = [new_key("many", f"key {number}").record for number in range(5)]
    store = environment[variable_name("cosmos_connection_string")]

    async def listed() -> list[Key]:
        settings = Settings(pipeline_file="", redis_url="", cosmos_connection_string=store)
        async with open_access(Store(), settings) as container:
            await container.ensure()
            for key in made:
                await container.create(key)
            return await access.all_records(container, Key, tenant_id="many")

    assert [key.id for key in asyncio.run(listed())] == sorted(key.id for key in made)


def test_a_list_has_all_devices_however_many(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "LISTED", 2)
    made = [Device(id=f"t-{number}", tenant_id="crowd", created_at=datetime.now(UTC)) for number in range(5)]
    store = environment[variable_name("cosmos_connection_string")]

    async def listed() -> list[KnownDevice]:
        settings = Settings(pipeline_file="", redis_url="", cosmos_connection_string=store)
        async with (
            open_access(Store(), settings) as container,
            open_redis(environment[variable_name("redis_url")]) as redis,
        ):
            await container.ensure()
            for device in made:
                await container.create(device)
            view = DeviceView(
                container, Sightings(redis, keys=Keys(namespace="default", name="shop")), frozenset({"crowd"})
            )
            return await devices.all_devices(view, "crowd")

    assert [known.device.id for known in asyncio.run(listed())] == [device.id for device in made]


def test_a_name_that_an_earlier_version_took_does_nothing_to_the_terminal(environment: dict[str, str]) -> None:
    stored = msgspec.structs.replace(new_key("sly", "web").record, name="\u202ebew")
    store = environment[variable_name("cosmos_connection_string")]

    async def create() -> None:
        settings = Settings(pipeline_file="", redis_url="", cosmos_connection_string=store)
        async with open_access(Store(), settings) as container:
            await container.ensure()
            await container.create(stored)

    asyncio.run(create())
    assert f"{stored.id}  \\u202ebew  " in typed(environment, "keys list --tenant sly").stdout


def test_a_name_that_deceives_is_refused_and_shown_harmless(environment: dict[str, str]) -> None:
    assert typed(environment, "tenants create masked").returncode == 0
    turned = typed(environment, "keys create --tenant masked --name \u202ebew")
    unseen = typed(environment, "keys create --tenant masked --name \u200b")

    assert (turned.returncode, unseen.returncode) == (2, 2)
    assert "'\\u202ebew' has a character that turns the text around it" in turned.stderr
    assert "cannot be seen" in unseen.stderr
    assert told(environment, "keys list --tenant masked") == []


def test_a_key_is_revoked_while_redis_is_away(environment: dict[str, str]) -> None:
    assert typed(environment, "tenants create lost").returncode == 0
    made = told(environment, "keys create --tenant lost --name web")
    (port,) = find_free_ports("127.0.0.1", 1)
    away = {**environment, "CLOUDSCALE_REDIS_URL": f"redis://127.0.0.1:{port}/0"}

    revoked = typed(away, f"keys revoke {made['id']} --tenant lost")
    refused = typed(away, "keys create --tenant lost --name app")

    assert revoked.returncode == 0, revoked.stderr
    (line,) = revoked.stdout.splitlines()
    assert "revoked" in line
    assert "warning: this is done and stored, but the running processes could not be told" in revoked.stderr
    assert "the audit record does not say so" in revoked.stderr
    assert refused.returncode != 0
    assert "nothing was done, since the audit record in Redis cannot be written" in refused.stderr
    (key,) = told(away, "keys list --tenant lost")
    assert "revokedAt" in key


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("keys create --tenant nobody --name web", "there is no tenant nobody"),
        ("tenants create a/b", "this cannot be used"),
        ("keys create --tenant acme --name web --expires soon", "--expires 'soon' is not a time: write 90d"),
        ("devices create t-8 --tenant acme --metadata floor", "write NAME=VALUE"),
        ("keys list --tenant nobody", "there is no tenant nobody: look at `cloudscale tenants list`"),
        ("devices list --tenant nobody", "there is no tenant nobody: look at `cloudscale tenants list`"),
        ("devices show t-9 --tenant nobody", "there is no device t-9 of tenant nobody"),
        ("keys revoke AAAAAAAAAAAA --tenant nobody", "there is no key AAAAAAAAAAAA of tenant nobody"),
        ("keys create --tenant acme --name web --scope everything", "everything"),
        ("keys change AAAAAAAAAAAA --tenant acme", "nothing is changed: give --name, --expires"),
        (
            "keys change AAAAAAAAAAAA --tenant acme --requests-per-second many",
            "'many' is no number: write 50, or usual",
        ),
        ("keys change AAAAAAAAAAAA --tenant acme --requests-per-second nan --name x", "there is no key AAAAAAAAAAAA"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(environment: dict[str, str], line: str, problem: str) -> None:
    done = typed(environment, line)

    assert done.returncode == 2
    assert problem in done.stderr
    assert "Traceback" not in done.stderr
