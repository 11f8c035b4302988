"""A disk that is full fails writes while it is full, and nothing afterwards; the log may lie on the same disk."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import urllib.request
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError

import pytest
from azure.cosmos import CosmosClient, PartitionKey
from azure.cosmos.exceptions import CosmosHttpResponseError
from tests.servers.cosmos import cosmos_server
from tests.servers.disk import can_mount, no_room_for, small_disk

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from azure.cosmos import ContainerProxy
    from tests.servers.cosmos import CosmosServer

TRIES = 12
ITEMS = 10
needs_mount = pytest.mark.skipif(not can_mount(), reason="mounting a small disk takes root")


@contextlib.contextmanager
def container_of(server: CosmosServer) -> Iterator[ContainerProxy]:
    client = CosmosClient(server.endpoint, server.account_key, retry_total=0, connection_timeout=5, read_timeout=6)
    with client:
        database = client.create_database_if_not_exists("db")
        yield database.create_container_if_not_exists("items", PartitionKey("/pk"))


def write_batch(container: ContainerProxy, number: int) -> int:
    """The status of a batch."""
    batch = [("create", ({"id": f"{number}-{index}", "pk": "p", "padding": "x" * 2000},)) for index in range(ITEMS)]
    try:
        container.execute_item_batch(batch, "p")
    except CosmosHttpResponseError as error:
        return error.status_code or 0
    return 201


def probe(server: CosmosServer, path: str) -> tuple[int, Any]:
    try:
        with urllib.request.urlopen(server.endpoint + path, timeout=5) as response:  # noqa: S310 - our own
            return response.status, json.load(response)["status"]
    except HTTPError as error:
        with error:
            return error.code, json.load(error)["status"]


def count(container: ContainerProxy) -> int:
    (stored,) = container.query_items("SELECT VALUE COUNT(1) FROM c", enable_cross_partition_query=True)
    return int(str(stored))


def test_writes_that_a_disk_refused_succeed_as_soon_as_it_takes_them(tmp_path: Path) -> None:
    with cosmos_server(tmp_path / "data") as server, container_of(server) as container:
        assert write_batch(container, 0) == 201
        with no_room_for(server.process.pid):
            assert [write_batch(container, 1) for _ in range(TRIES)] == [503] * TRIES
            assert (probe(server, "health"), probe(server, "ready")) == ((503, "broken"), (503, "broken"))
            assert count(container) == ITEMS
        assert [write_batch(container, number) for number in (1, 2)] == [201, 201]
        assert (probe(server, "health"), probe(server, "ready")) == ((200, "ok"), (200, "ok"))
        assert count(container) == 3 * ITEMS


@needs_mount
def test_a_store_whose_disk_was_full_goes_on_without_a_new_start(tmp_path: Path) -> None:
    with (
        small_disk(tmp_path / "disk", megabytes=8) as disk,
        cosmos_server(disk.path / "data") as server,
        container_of(server) as container,
    ):
        written = 0
        while write_batch(container, written) == 201:
            written += 1
        disk.fill()
        assert {write_batch(container, written) for _ in range(TRIES)} == {503}
        # A new start frees nothing, so nobody should want one.
        assert probe(server, "health")[0] == 200
        disk.free(megabytes=64)
        assert [write_batch(container, number) for number in (written, written + 1)] == [201, 201]
        assert count(container) == (written + 2) * ITEMS


@needs_mount
def test_a_store_that_finds_its_disk_full_says_so_in_one_line(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("QQ==")
    with small_disk(tmp_path / "disk", megabytes=1) as disk:
        disk.fill()
        command = [sys.executable, "-m", "cloudscale.emulators.cosmos", "--port", "0"]
        command += ["--data-dir", str(disk.path / "data"), "--account-key-file", str(key)]
        result = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert result.returncode == 2
    assert result.stderr.startswith("Cannot open ")
    assert result.stderr.count("\n") == 1
