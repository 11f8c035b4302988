"""Comparing what should be with what is."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudscale_operator.children import ChildKey, Children, PipelineKey, changes, child_key, is_contained

LABELS = {"cloudscale.io/pipeline": "example"}

json_values = st.recursive(
    st.integers() | st.text(max_size=5) | st.booleans(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


def service(name: str = "a", *, owner: str = "uid-1", port: int = 80, **metadata: Any) -> dict[str, Any]:
    references = [{"uid": owner}]
    identity = {"name": name, "namespace": "shop", "labels": LABELS, "ownerReferences": references, **metadata}
    return {"kind": "Service", "metadata": identity, "spec": {"ports": [{"name": "http", "port": port}]}}


def live(*items: dict[str, Any]) -> dict[ChildKey, dict[str, Any]]:
    return {child_key(item): item for item in items}


def test_an_absent_object_is_applied() -> None:
    assert changes([service()], {}, owner="uid-1").apply == [service()]


def test_an_object_in_its_place_is_left_alone() -> None:
    found = service() | {"status": {"loadBalancer": {}}}
    found["spec"]["clusterIP"] = "10.0.0.1"
    todo = changes([service()], live(found), owner="uid-1")
    assert (todo.apply, todo.delete) == ([], [])


def test_an_edited_object_is_applied() -> None:
    assert changes([service()], live(service(port=81)), owner="uid-1").apply == [service()]


def test_an_object_that_is_no_longer_wanted_is_deleted() -> None:
    assert changes([], live(service()), owner="uid-1").delete == [service()]


@pytest.mark.parametrize(
    "found", [service(owner="somebody"), service(deletionTimestamp="2026-01-01T00:00:00Z")], ids=["foreign", "going"]
)
def test_an_object_of_another_owner_or_on_its_way_out_is_not_deleted(found: dict[str, Any]) -> None:
    assert changes([], live(found), owner="uid-1").delete == []


@given(json_values)
def test_a_value_is_contained_in_itself(value: Any) -> None:
    assert is_contained(value, value)


@given(st.dictionaries(st.text(max_size=5), json_values, max_size=4), st.dictionaries(st.text(), json_values))
def test_more_fields_do_not_matter(part: dict[str, Any], more: dict[str, Any]) -> None:
    assert is_contained(part, more | part)


@pytest.mark.parametrize(
    ("part", "whole", "contained"),
    [
        ({"a": 1}, {"a": 2}, False),
        ({"a": 1}, {}, False),
        ({"a": {}}, {}, True),
        ({"a": False}, {}, False),
        ({"a": 0}, {}, False),
        ([1, 2], [1, 2, 3], False),
        ([1, 2], [2, 1], False),
        ([{"name": "a", "x": 1}], [{"name": "b"}, {"name": "a", "x": 1, "y": 2}], True),
        ([{"name": "a", "x": 1}], [{"name": "b", "x": 1}], False),
        ({"a": [1]}, {"a": "1"}, False),
        ({"a": {"b": 1}}, {"a": None}, False),
    ],
)
def test_containment_by_example(part: Any, whole: Any, *, contained: bool) -> None:
    assert is_contained(part, whole) is contained


@pytest.mark.parametrize(
    ("asked", "kept"), [("1000m", "1"), ("0.5", "500m"), ("1024Mi", "1Gi"), ("1.5Gi", "1536Mi"), ("1e3", "1k")]
)
def test_a_quantity_may_be_written_in_another_way(asked: str, kept: str) -> None:
    resources = {"resources": {"requests": {"cpu": asked}, "limits": {"cpu": asked}}}
    assert is_contained(resources, {"resources": {"requests": {"cpu": kept}, "limits": {"cpu": kept}}})


def test_a_request_that_the_api_server_drew_from_the_limits_does_not_matter() -> None:
    assert is_contained({"limits": {"cpu": "1"}, "requests": {}}, {"limits": {"cpu": "1"}, "requests": {"cpu": "1"}})


@pytest.mark.parametrize(
    ("name", "asked", "kept"), [("limits", "1", "2"), ("limits", "1G", "1Gi"), ("data", "1000m", "1")]
)
def test_another_quantity_and_a_text_like_one_are_another(name: str, asked: str, kept: str) -> None:
    assert not is_contained({name: {"cpu": asked}}, {name: {"cpu": kept}})


def test_children_are_kept_by_their_pipeline() -> None:
    children = Children()
    assert children.observe(service()) == PipelineKey("shop", "example")
    assert list(children.of(PipelineKey("shop", "example"))) == [ChildKey("Service", "a")]
    assert children.of(PipelineKey("shop", "other")) == {}


def test_a_deleted_child_is_no_longer_there() -> None:
    children = Children()
    children.observe(service())
    children.observe(service(), deleted=True)
    assert children.of(PipelineKey("shop", "example")) == {}


def test_an_object_without_a_pipeline_is_nobodys_child() -> None:
    assert Children().observe(service(labels={})) is None


def test_the_record_of_field_managers_is_not_kept() -> None:
    children = Children()
    children.observe(service(managedFields=[{"manager": "x"}]))
    (kept,) = children.of(PipelineKey("shop", "example")).values()
    assert "managedFields" not in kept["metadata"]
