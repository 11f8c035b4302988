"""Patch operations, alone and through the SDK."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from azure.cosmos.exceptions import CosmosAccessConditionFailedError, CosmosHttpResponseError
from hypothesis import given
from hypothesis import strategies as st

from cloudscale.emulators.cosmos.errors import CosmosError
from cloudscale.emulators.cosmos.patch import PatchOperation, apply_patch, parse_patch

if TYPE_CHECKING:
    from azure.cosmos.aio import ContainerProxy


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        ({"op": "set", "path": "/n", "value": 2}, {"n": 2, "a": [1, 2], "o": {"x": 1}}),
        ({"op": "set", "path": "/new", "value": [1]}, {"n": 1, "a": [1, 2], "o": {"x": 1}, "new": [1]}),
        ({"op": "add", "path": "/a/-", "value": 3}, {"n": 1, "a": [1, 2, 3], "o": {"x": 1}}),
        ({"op": "add", "path": "/a/0", "value": 0}, {"n": 1, "a": [0, 1, 2], "o": {"x": 1}}),
        ({"op": "set", "path": "/a/0", "value": 0}, {"n": 1, "a": [0, 2], "o": {"x": 1}}),
        ({"op": "replace", "path": "/o/x", "value": None}, {"n": 1, "a": [1, 2], "o": {"x": None}}),
        ({"op": "remove", "path": "/o/x"}, {"n": 1, "a": [1, 2], "o": {}}),
        ({"op": "remove", "path": "/a/1"}, {"n": 1, "a": [1], "o": {"x": 1}}),
        ({"op": "incr", "path": "/n", "value": 1.5}, {"n": 2.5, "a": [1, 2], "o": {"x": 1}}),
        ({"op": "incr", "path": "/count", "value": 4}, {"n": 1, "a": [1, 2], "o": {"x": 1}, "count": 4}),
        ({"op": "incr", "path": "/a/1", "value": -2}, {"n": 1, "a": [1, 0], "o": {"x": 1}}),
        ({"op": "move", "from": "/n", "path": "/o/n"}, {"a": [1, 2], "o": {"x": 1, "n": 1}}),
    ],
)
def test_an_operation_changes_what_it_names(operation: dict[str, Any], expected: dict[str, Any]) -> None:
    document = {"n": 1, "a": [1, 2], "o": {"x": 1}}
    apply_patch(document, [msgspec.convert(operation, PatchOperation)])
    assert document == expected


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "replace", "path": "/missing", "value": 1},
        {"op": "remove", "path": "/missing"},
        {"op": "set", "path": "/missing/x", "value": 1},
        {"op": "set", "path": "/n/x", "value": 1},
        {"op": "set", "path": "n", "value": 1},
        {"op": "set", "path": "/a/2", "value": 1},
        {"op": "add", "path": "/a/3", "value": 1},
        {"op": "add", "path": "/a/-1", "value": 1},
        {"op": "incr", "path": "/o", "value": 1},
        {"op": "incr", "path": "/n", "value": "1"},
        {"op": "set", "path": "/n"},
        {"op": "move", "path": "/n"},
        {"op": "move", "from": "/o", "path": "/o/x"},
        {"op": "jump", "path": "/n", "value": 1},
    ],
)
def test_an_operation_that_makes_no_sense_is_refused(operation: dict[str, Any]) -> None:
    with pytest.raises(CosmosError) as caught:
        apply_patch({"n": 1, "a": [1, 2], "o": {"x": 1}}, [msgspec.convert(operation, PatchOperation)])
    assert caught.value.status == 400


@given(st.dictionaries(st.sampled_from(["a", "b"]), st.integers()), st.integers(-100, 100), st.sampled_from(["a", "b"]))
def test_an_increment_and_its_opposite_leave_the_document_as_it_was(
    document: dict[str, int], amount: int, name: str
) -> None:
    patched = copy.deepcopy(document)
    apply_patch(patched, [PatchOperation("incr", f"/{name}", value) for value in (amount, -amount)])
    assert patched == {name: 0, **document}


@pytest.mark.parametrize("count", [0, 11])
def test_a_patch_has_one_to_ten_operations(count: int) -> None:
    with pytest.raises(CosmosError):
        parse_patch(msgspec.json.encode([{"op": "set", "path": "/n", "value": 1}] * count))


def test_both_forms_of_a_patch_are_read() -> None:
    operations = [{"op": "set", "path": "/n", "value": 1}]
    bare = parse_patch(msgspec.json.encode(operations))
    wrapped = parse_patch(msgspec.json.encode({"operations": operations, "condition": "FROM c WHERE c.n = 1"}))
    assert bare.operations == wrapped.operations
    assert (bare.condition, wrapped.condition) == (None, "FROM c WHERE c.n = 1")


async def test_a_patch_with_a_condition_applies_only_where_it_holds(container: ContainerProxy) -> None:
    await container.create_item({"id": "1", "pk": "a", "n": 1})
    operations = [{"op": "incr", "path": "/n", "value": 1}]
    patched = await container.patch_item("1", "a", operations, filter_predicate="FROM c WHERE c.n = 1")
    assert patched["n"] == 2
    with pytest.raises(CosmosAccessConditionFailedError):
        await container.patch_item("1", "a", operations, filter_predicate="FROM c WHERE c.n = 1")
    assert (await container.read_item("1", "a"))["n"] == 2


@pytest.mark.parametrize("path", ["/id", "/pk"])
async def test_a_patch_cannot_move_a_document(container: ContainerProxy, path: str) -> None:
    await container.create_item({"id": "1", "pk": "a"})
    with pytest.raises(CosmosHttpResponseError) as caught:
        await container.patch_item("1", "a", [{"op": "set", "path": path, "value": "other"}])
    assert caught.value.status_code == 400
