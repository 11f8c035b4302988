"""Bulk requests, which the Python SDK does not send."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec
from tests.emulators.cosmos.stores import open_documents

from cloudscale.emulators.cosmos.account import Account
from cloudscale.emulators.cosmos.bulk import run_bulk
from cloudscale.emulators.cosmos.catalogue import Catalogue
from cloudscale.emulators.cosmos.emulator import Emulator
from cloudscale.emulators.cosmos.protocol import Request

if TYPE_CHECKING:
    from pathlib import Path


def create(name: str, partition: str | None) -> dict[str, Any]:
    operation: dict[str, Any] = {"operationType": "Create", "resourceBody": {"id": name, "pk": partition}}
    return operation if partition is None else {**operation, "partitionKey": f'["{partition}"]'}


async def test_operations_on_several_partitions_succeed_and_fail_alone(tmp_path: Path) -> None:
    operations = [create("1", "a"), create("1", "b"), create("1", "a"), create("2", None), create("3", "c")]
    async with open_documents(tmp_path) as (storage, documents):
        emulator = Emulator(
            storage,
            Catalogue(storage),
            partition_ranges=1,
            enforce_throughput=False,
            account=Account(),
        )
        request = Request("POST", "", {}, msgspec.json.encode(operations))
        response = await asyncio.wait_for(run_bulk(emulator, documents, request), timeout=10)
        assert response.status == 207
        assert [result["statusCode"] for result in msgspec.json.decode(response.body)] == [201, 201, 409, 400, 201]
        assert documents.count == 3
