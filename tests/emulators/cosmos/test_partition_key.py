"""Partition keys against the SDK's own computation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from azure.cosmos import PartitionKey
from hypothesis import given
from hypothesis import strategies as st

from cloudscale.emulators.cosmos.errors import CosmosError
from cloudscale.emulators.cosmos.partition_key import (
    UNDEFINED,
    PartitionKeyDefinition,
    canonical,
    range_boundaries,
)

if TYPE_CHECKING:
    from cloudscale.emulators.cosmos.partition_key import Component

SINGLE = PartitionKey("/a")
HIERARCHY = PartitionKey(["/a", "/b"], kind="MultiHash")
numbers = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
components = st.text(max_size=60) | numbers | st.booleans() | st.none()


@given(components)
def test_effective_keys_are_those_that_clients_compute(component: Component) -> None:
    definition = PartitionKeyDefinition.parse(dict(SINGLE))
    assert definition.effective([component]) == SINGLE._get_effective_partition_key_string([component])  # type: ignore[list-item]


@given(components, components)
def test_effective_keys_of_hierarchies_are_those_that_clients_compute(first: Component, second: Component) -> None:
    definition = PartitionKeyDefinition.parse(dict(HIERARCHY))
    expected = HIERARCHY._get_effective_partition_key_string([first, second])  # type: ignore[list-item]
    assert definition.effective([first, second]) == expected


@given(components, components)
def test_canonical_texts_are_equal_exactly_for_equal_keys(first: Component, second: Component) -> None:
    same = first == second and isinstance(first, bool) == isinstance(second, bool)
    assert (canonical([first]) == canonical([second])) == same


def test_a_missing_path_is_a_key_of_its_own() -> None:
    definition = PartitionKeyDefinition.parse(dict(SINGLE))
    assert definition.of_document({}) == (UNDEFINED,)
    assert definition.of_header("[{}]") == (UNDEFINED,)
    assert canonical([UNDEFINED]) != canonical([None])


def test_ranges_cover_the_space_without_gaps() -> None:
    assert range_boundaries(1) == ["", "FF"]
    assert range_boundaries(2) == ["", "1" + 31 * "F", "FF"]
    assert range_boundaries(5) == ["", "0" + 31 * "C", "1" + 30 * "9" + "8", "2" + 30 * "6" + "4", 31 * "3" + "0", "FF"]


@pytest.mark.parametrize("header", ["", "x", "{}", '["a","b"]', '[{"a":1}]', "[[1]]"])
def test_a_header_that_is_no_key_is_refused(header: str) -> None:
    with pytest.raises(CosmosError) as caught:
        PartitionKeyDefinition.parse(dict(SINGLE)).of_header(header)
    assert caught.value.status == 400


@pytest.mark.parametrize(
    "definition",
    [{}, {"paths": []}, {"paths": ["a"]}, {"paths": ["/a", "/b"], "kind": "Hash"}, {"paths": ["/a"], "kind": "Range"}],
)
def test_a_definition_that_makes_no_sense_is_refused(definition: dict[str, object]) -> None:
    with pytest.raises(CosmosError):
        PartitionKeyDefinition.parse(definition)
