"""Keys that a file gives to a running service."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
import yaml
from tests.ingestion.client import Client, bearer
from tests.servers.ingestion import UNLIMITED, ingestion_server
from tests.waiting import wait_until_sync

from cloudscale.access.given_keys import entry_of
from cloudscale.access.new_keys import KeyRights, NewKey, new_key
from cloudscale.access.scopes import Scope

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.servers.cosmos import CosmosServer
    from tests.servers.redis import RedisServer
    from tests.servers.servicebus import ServiceBusServer

REVOKED_WITHIN = timedelta(seconds=5)
SELDOM = timedelta(seconds=0.25)
"""An address that tries a wrong key more often is refused for that."""


@pytest.fixture(scope="module")
def keys_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("keys") / "keys.yaml"


@pytest.fixture(scope="module")
def client(
    broker: ServiceBusServer,
    cache_server: RedisServer,
    store: CosmosServer,
    keys_file: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Client]:
    with ingestion_server(
        tmp_path_factory.mktemp("ingestion"),
        broker=broker,
        cache=cache_server,
        spec={"queue": {"name": "given-events"}, "ingestion": {"rateLimits": UNLIMITED}},
        name="given",
        store=store,
        keys_file=keys_file,
    ) as server:
        yield Client(server.port)


def write(path: Path, *keys: NewKey) -> None:
    path.write_text(yaml.safe_dump([entry_of(key.record) for key in keys]))


def status(client: Client, key: NewKey) -> int:
    event = {"eventType": "page_view", "url": "https://shop.example/"}
    return client.post(event, headers=bearer(key.text)).status


def test_a_key_holds_while_it_stands_in_the_file(client: Client, keys_file: Path) -> None:
    key, other = new_key("acme", "web"), new_key("acme", "other")
    assert status(client, key) == 401
    write(keys_file, key, other)
    wait_until_sync(lambda: status(client, key) == 202, within=REVOKED_WITHIN, interval=SELDOM)
    write(keys_file, other)
    wait_until_sync(lambda: status(client, key) == 401, within=REVOKED_WITHIN, interval=SELDOM)
    assert status(client, other) == 202


def test_a_given_key_has_the_rights_of_its_entry(client: Client, keys_file: Path) -> None:
    sends = new_key("acme", "sends")
    admin = new_key("acme", "admin", rights=KeyRights(scopes=frozenset({Scope.ADMIN})))
    purchases = new_key("acme", "purchases", rights=KeyRights(event_types=frozenset({"purchase"})))
    write(keys_file, sends, admin, purchases)
    wait_until_sync(lambda: status(client, sends) == 202, within=REVOKED_WITHIN, interval=SELDOM)
    assert status(client, admin) == 403
    assert status(client, purchases) == 403
