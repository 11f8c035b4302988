"""Transactional batches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from azure.cosmos.exceptions import CosmosBatchOperationError, CosmosHttpResponseError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.emulators.cosmos.stores import open_documents

from cloudscale.emulators.cosmos.batch import BatchFailedError, BatchOperation, run_batch
from cloudscale.emulators.cosmos.errors import CosmosError

if TYPE_CHECKING:
    from azure.cosmos.aio import ContainerProxy

    from cloudscale.emulators.cosmos.documents import Documents


async def test_every_kind_of_operation_works_in_one_batch(container: ContainerProxy) -> None:
    await container.create_item({"id": "old", "pk": "a", "n": 1})
    results = await container.execute_item_batch(
        [
            ("create", ({"id": "new", "pk": "a"},)),
            ("upsert", ({"id": "up", "pk": "a"},)),
            ("replace", ("old", {"id": "old", "pk": "a", "n": 2})),
            ("patch", ("old", [{"op": "incr", "path": "/n", "value": 3}])),
            ("read", ("old",)),
            ("delete", ("new",)),
        ],
        "a",
    )
    assert [result["statusCode"] for result in results] == [201, 201, 200, 200, 200, 204]
    assert results[4]["resourceBody"]["n"] == 5
    remaining = [item["id"] async for item in container.query_items("SELECT c.id FROM c", partition_key="a")]
    assert remaining == ["old", "up"]


async def test_one_failing_operation_undoes_all_and_names_itself(container: ContainerProxy) -> None:
    await container.create_item({"id": "taken", "pk": "a"})
    with pytest.raises(CosmosBatchOperationError) as caught:
        await container.execute_item_batch(
            [("create", ({"id": name, "pk": "a"},)) for name in ("one", "taken", "two")], "a"
        )
    assert caught.value.error_index == 1
    assert [result["statusCode"] for result in caught.value.operation_responses] == [424, 409, 424]
    assert [item["id"] async for item in container.query_items("SELECT c.id FROM c", partition_key="a")] == ["taken"]


async def test_a_batch_that_creates_an_id_twice_fails(container: ContainerProxy) -> None:
    with pytest.raises(CosmosBatchOperationError) as caught:
        await container.execute_item_batch([("create", ({"id": "1", "pk": "a"},))] * 2, "a")
    assert [result["statusCode"] for result in caught.value.operation_responses] == [424, 409]


async def test_a_batch_for_another_partition_is_refused(container: ContainerProxy) -> None:
    with pytest.raises(CosmosBatchOperationError) as caught:
        await container.execute_item_batch([("create", ({"id": "1", "pk": "b"},))], "a")
    assert caught.value.operation_responses[0]["statusCode"] == 400


async def test_more_than_a_hundred_operations_are_refused(container: ContainerProxy) -> None:
    batch = [("create", ({"id": str(number), "pk": "a"},)) for number in range(101)]
    with pytest.raises(CosmosHttpResponseError) as caught:
        await container.execute_item_batch(batch, "a")
    assert caught.value.status_code == 400


async def test_a_batch_counts_as_one_write(container: ContainerProxy) -> None:
    await container.create_item({"id": "1", "pk": "a"})
    await container.create_item({"id": "2", "pk": "a"})
    before = await container.read_item("1", "a")
    batch: list[Any] = [
        ("create", ({"id": "3", "pk": "a"},)),
        ("create", ({"id": "4", "pk": "a"},)),
        ("upsert", ({"id": "1", "pk": "a", "n": 1},)),
        ("delete", ("2",)),
    ]
    answer = await container.execute_item_batch(batch, "a")
    assert int(answer.get_response_headers()["lsn"]) == int(before.get_response_headers()["lsn"]) + 1
    after = await container.create_item({"id": "5", "pk": "a"})
    assert int(after.get_response_headers()["lsn"]) == int(before.get_response_headers()["lsn"]) + 2
    rids = [item["_rid"] async for item in container.read_all_items()]
    assert len(set(rids)) == len(rids) == 4


async def test_a_stale_etag_fails_the_batch(container: ContainerProxy) -> None:
    first = await container.create_item({"id": "1", "pk": "a"})
    await container.upsert_item({"id": "1", "pk": "a", "n": 1})
    with pytest.raises(CosmosBatchOperationError) as caught:
        await container.execute_item_batch(
            [("replace", ("1", {"id": "1", "pk": "a", "n": 2}), {"if_match_etag": first["_etag"]})], "a"
        )
    assert caught.value.operation_responses[0]["statusCode"] == 412


operations = st.lists(
    st.tuples(st.sampled_from(["Create", "Upsert", "Replace", "Delete", "Read"]), st.sampled_from("abcd")),
    min_size=1,
    max_size=8,
)


@settings(max_examples=75, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(operations, min_size=1, max_size=8))
async def test_batches_are_all_or_nothing(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[tuple[str, str]]]
) -> None:
    """Against a dictionary: the same batches leave the same documents, in the tables and after reading them again."""
    expected: dict[str, int] = {}
    async with open_documents(tmp_path_factory.mktemp("batch")) as (storage, documents):
        for version, batch in enumerate(batches):
            encoded = [_operation(kind, name, version) for kind, name in batch]
            after = _apply(expected, batch, version)
            try:
                await storage.write(lambda encoded=encoded: run_batch(documents, encoded, ("p",), minimal=True))  # type: ignore[misc]
            except BatchFailedError:
                assert after is None
            else:
                assert after is not None
                expected = after
            assert _contents(documents) == expected
            assert documents.count == len(expected)
        documents.reload()
        assert _contents(documents) == expected
        assert documents.count == len(expected)


def _operation(kind: str, name: str, version: int) -> BatchOperation:
    body = msgspec.Raw(msgspec.json.encode({"id": name, "pk": "p", "version": version}))
    return BatchOperation(kind, id=name, resource_body=body)


def _apply(before: dict[str, int], batch: list[tuple[str, str]], version: int) -> dict[str, int] | None:
    after = dict(before)
    for kind, name in batch:
        if (kind == "Create") == (name in after) and kind != "Upsert":
            return None
        if kind == "Delete":
            del after[name]
        elif kind != "Read":
            after[name] = version
    return after


def _contents(documents: Documents) -> dict[str, int]:
    found = {}
    for name in "abcd":
        try:
            found[name] = msgspec.json.decode(documents.find(("p",), name).body)["version"]
        except CosmosError:
            continue
    return found
