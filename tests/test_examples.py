from __future__ import annotations

import re
from pathlib import Path

import pytest

from cloudscale import examples
from cloudscale.errors import ConfigurationError
from cloudscale.examples import Kind
from cloudscale.pipeline import load_file
from cloudscale.replay.source import prepare, read_lines

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("name", examples.names(Kind.PIPELINE))
def test_an_example_of_a_pipeline_is_valid(name: str) -> None:
    assert load_file(examples.find(name, kind=Kind.PIPELINE)).metadata.name


@pytest.mark.parametrize("name", examples.names(Kind.EVENTS))
def test_an_example_of_events_holds_events(name: str) -> None:
    lines = list(read_lines(examples.find(name, kind=Kind.EVENTS)))
    assert lines
    assert all(prepare(line, origin=name) for line in lines)


def test_a_file_is_an_example_of_one_kind_only() -> None:
    assert not set(examples.names(Kind.PIPELINE)) & set(examples.names(Kind.EVENTS))


def test_an_unknown_name_is_answered_with_those_that_there_are() -> None:
    with pytest.raises(ConfigurationError) as refused:
        examples.find("clickstreem", kind=Kind.PIPELINE)
    assert str(refused.value) == (
        "there is no example clickstreem of kind pipeline: "
        "choose one of archive, bench, clickstream, custom-event, outlets, replay"
    )


@pytest.mark.parametrize("name", ["events", "../__init__", "", "clickstream.yaml"])
def test_only_a_name_of_the_same_kind_leads_to_a_file(name: str) -> None:
    with pytest.raises(ConfigurationError, match="choose one of"):
        examples.find(name, kind=Kind.PIPELINE)


def test_each_is_described_in_a_phrase() -> None:
    described = [examples.describe(name, kind=kind) for kind in Kind for name in examples.names(kind)]
    assert "A pipeline with the resource's defaults" in described
    assert "500 events, one a line" in described
    assert all(10 < len(each) < 100 for each in described)


def test_a_clone_has_them_in_a_folder_of_its_own() -> None:
    assert (ROOT / "examples").resolve() == Path(examples.__file__).parent.resolve()


def test_readme_uses_examples_by_their_names() -> None:
    used = set(re.findall(r"--example ([a-z-]+)", (ROOT / "README.md").read_text()))
    assert used
    assert used <= {name for kind in Kind for name in examples.names(kind)}
