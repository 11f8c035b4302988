"""Whether a pipeline that does not say it takes events of anybody."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from cloudscale import pipeline as resource
from cloudscale_operator.access import was_made_without_keys, with_mode
from cloudscale_operator.children import ChildKey
from cloudscale_operator.manifests.configuration import build_configuration

if TYPE_CHECKING:
    from cloudscale.pipeline import EventPipeline
    from cloudscale_operator.kinds import Manifest

CONFIGURATION = ChildKey("ConfigMap", "shop-pipeline")


def pipeline(**access: str) -> EventPipeline:
    document = {
        "apiVersion": "cloudscale.io/v1alpha1",
        "kind": "EventPipeline",
        "metadata": {"name": "shop"},
        "spec": {"access": access},
    }
    return resource.load(document)


def made_for(of: EventPipeline) -> dict[ChildKey, Manifest]:
    return {CONFIGURATION: build_configuration(of)}


def made_before_keys_were_known() -> dict[ChildKey, Manifest]:
    configuration = build_configuration(pipeline())
    document: dict[str, Any] = msgspec.json.decode(configuration["data"]["pipeline.json"])
    del document["spec"]["access"]
    configuration["data"]["pipeline.json"] = msgspec.json.encode(document).decode()
    return {CONFIGURATION: configuration}


def mode_of(of: EventPipeline, live: dict[ChildKey, Manifest]) -> str | None:
    return with_mode(of, live).spec.access.mode


def test_a_new_pipeline_needs_keys() -> None:
    assert mode_of(pipeline(), {}) == "Required"
    assert not was_made_without_keys(pipeline(), {})


@pytest.mark.parametrize("mode", ["Required", "Open"])
def test_what_the_resource_says_holds(mode: str) -> None:
    for live in ({}, made_before_keys_were_known(), made_for(pipeline(mode="Open"))):
        assert mode_of(pipeline(mode=mode), live) == mode


def test_a_pipeline_of_the_version_before_goes_on_and_says_so_once() -> None:
    before = made_before_keys_were_known()
    assert was_made_without_keys(pipeline(), before)
    after = with_mode(pipeline(), before)
    assert after.spec.access.mode == "Open"

    assert mode_of(pipeline(), made_for(after)) == "Open"
    assert not was_made_without_keys(pipeline(), made_for(after))


def test_a_pipeline_with_keys_keeps_them_when_its_resource_stops_saying_so() -> None:
    assert mode_of(pipeline(), made_for(pipeline(mode="Required"))) == "Required"
