"""Reading the resource: defaults, every problem at once with its path, files."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from tests.bad_pipelines import BAD_PIPELINES, BadPipeline

from cloudscale.errors import ConfigurationError, InvalidPipelineError
from cloudscale.ingestion.requests import MAXIMUM_BATCH_EVENTS
from cloudscale.pipeline import PipelineSpec, as_document, load, load_file

if TYPE_CHECKING:
    from pathlib import Path


def document(spec: Any = None, **others: Any) -> dict[str, Any]:
    return {
        "apiVersion": "cloudscale.io/v1alpha1",
        "kind": "EventPipeline",
        "metadata": {"name": "example"},
        "spec": spec or {},
    } | others


def problems(spec: Any, **others: Any) -> list[str]:
    with pytest.raises(InvalidPipelineError) as caught:
        load(document(spec, **others))
    return caught.value.problems


def test_an_empty_specification_has_every_default() -> None:
    assert load(document()).spec == PipelineSpec()


def test_a_specification_may_be_left_out() -> None:
    without = {key: value for key, value in document().items() if key != "spec"}
    assert load(without).spec == PipelineSpec()


def test_defaults_reach_beside_given_fields() -> None:
    queue = load(document({"queue": {"eventsPerMessage": 7}})).spec.queue
    assert (queue.events_per_message, queue.name) == (7, "events-ingestion")


def test_a_written_resource_is_read_back() -> None:
    pipeline = load(document({"placement": {"pinTo": "cloudscale.io/bench"}, "eventTypes": [{"name": "refund"}]}))
    assert load(as_document(pipeline)) == pipeline


def test_a_written_resource_names_no_absent_field() -> None:
    assert "namespace" not in as_document(load(document()))["spec"]["queue"]


def test_null_is_as_good_as_absent() -> None:
    assert load(document({"placement": {"pinTo": None}, "queue": None})).spec == PipelineSpec()


def test_null_inside_of_an_event_schema_is_kept() -> None:
    pipeline = load(document({"eventTypes": [{"name": "refund", "schema": {"properties": {"x": {"const": None}}}}]}))
    assert pipeline.spec.event_types[0].schema == {"properties": {"x": {"const": None}}}


def test_what_the_api_server_adds_is_left_alone() -> None:
    live = document(
        metadata={"name": "example", "uid": "1", "generation": 3, "managedFields": []}, status={"phase": "x"}
    )
    assert load(live).metadata.generation == 3


@pytest.mark.parametrize("bad", BAD_PIPELINES, ids=lambda bad: bad.title)
def test_a_bad_resource_is_refused_at_its_field(bad: BadPipeline) -> None:
    with pytest.raises(InvalidPipelineError) as caught:
        load(bad.document)
    (problem,) = caught.value.problems
    assert problem.startswith(f"{bad.path}: ")
    assert bad.reason in problem


def test_all_broken_fields_are_named_at_once() -> None:
    found = problems(
        {
            "paused": "no",
            "procesing": {},
            "processing": {"prefetch": "x", "replicas": {"min": 9, "max": 3}, "concurrency": {"interval": "1ms"}},
            "queue": {"lockDuration": "1h", "connectionSecretRef": {"name": "a"}},
            "eventTypes": [{"name": "purchase"}],
        }
    )
    assert [problem.split(":")[0] for problem in found] == [
        "spec.eventTypes[0].name",
        "spec.paused",
        "spec.procesing",
        "spec.processing.concurrency.interval",
        "spec.processing.prefetch",
        "spec.processing.replicas.min",
        "spec.queue.connectionSecretRef.key",
        "spec.queue.lockDuration",
    ]


def test_a_broken_field_is_blamed_once() -> None:
    assert len(problems({"processing": {"replicas": {"min": "x", "max": 0}}})) == 2


def test_a_broken_list_does_not_hide_other_problems() -> None:
    assert len(problems({"eventTypes": [{"name": 1}], "drainDeadline": "0s"})) == 2


def test_an_event_schema_that_is_no_json_schema_is_refused() -> None:
    (problem,) = problems({"eventTypes": [{"name": "refund", "schema": {"type": "nothing"}}]})
    assert problem.startswith("spec.eventTypes[0].schema: is not a JSON Schema")


def test_an_event_type_of_the_resource_may_be_scored() -> None:
    spec = load(document({"eventTypes": [{"name": "refund"}], "processing": {"scoring": {"refund": -5}}})).spec
    assert spec.processing.scoring == {"refund": -5}


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_a_number_that_json_does_not_have_is_refused(number: float) -> None:
    (problem,) = problems({"ingestion": {"rateLimits": {"perClient": {"perSecond": number}}}})
    assert "is not a finite number" in problem


def test_a_duration_too_long_to_count_is_refused() -> None:
    (problem,) = problems({"store": {"timeToLive": f"{'9' * 30}h"}})
    assert problem.startswith("spec.store.timeToLive: ")


def test_a_whole_number_may_be_written_with_a_fraction() -> None:
    assert load(document({"processing": {"prefetch": 20.0}})).spec.processing.prefetch == 20


@pytest.mark.parametrize("other", [{"kind": "Pipeline"}, {"apiVersion": "v1"}, {"metadata": {}}, {"spec": []}])
def test_a_document_of_another_form_is_refused(other: dict[str, Any]) -> None:
    with pytest.raises(InvalidPipelineError, match=next(iter(other))):
        load(document() | other)


def test_a_misspelt_top_level_field_is_refused() -> None:
    (problem,) = problems({}, spce={})
    assert problem == "spce: unknown field, did you mean spec?"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "pipeline.yaml"


@pytest.mark.parametrize("text", [json.dumps(document()), "---\n" + json.dumps(document()) + "\n---\n"])
def test_a_file_is_yaml_or_json(file: Path, text: str) -> None:
    file.write_text(text)
    assert load_file(file).metadata.name == "example"


def test_other_kinds_may_stand_in_the_file(file: Path) -> None:
    file.write_text(f"kind: Namespace\n---\n{json.dumps(document())}")
    assert load_file(file).metadata.name == "example"


@pytest.mark.parametrize("text", ["", "kind: Namespace\n---\nkind: Secret", f"{json.dumps(document())}\n---\n" * 2])
def test_a_file_without_exactly_one_pipeline_is_refused(file: Path, text: str) -> None:
    file.write_text(text)
    with pytest.raises(ConfigurationError, match="documents of kind EventPipeline"):
        load_file(file)


def test_a_missing_file_is_named(file: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"pipeline\.yaml cannot be read: No such file"):
        load_file(file)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: [", r"pipeline\.yaml, line \d is not valid YAML"),
        ("a: 1\na: 2", r"line 2 is not valid YAML: key 'a' comes twice"),
        ("1: x", r"line 1 is not valid YAML: key 1 is not a string"),
        ("a: \x00", "is not valid YAML"),
        ("a:\n  b: 0x_", r"line 2 is not valid YAML: '0x_' cannot be read as int"),
        ("a: !!bool maybe", "line 1 is not valid YAML: 'maybe' cannot be read as bool"),
        ("a: !!set {x}", "line 1 is not valid YAML: could not determine a constructor"),
        ("a: !!timestamp soon", "line 1 is not valid YAML: could not determine a constructor"),
    ],
)
def test_a_file_that_is_no_yaml_is_refused_with_its_line(file: Path, text: str, message: str) -> None:
    file.write_text(text)
    with pytest.raises(ConfigurationError, match=message):
        load_file(file)


@pytest.mark.parametrize("text", ["metadata: {}\nspec: &a\n  x: *a\n", "&a [*a]", "a: " + "[" * 1000])
def test_a_file_that_contains_itself_or_is_nested_too_deep_is_refused(file: Path, text: str) -> None:
    file.write_text(text)
    with pytest.raises(ConfigurationError, match=r"pipeline\.yaml is nested too deep, or an alias"):
        load_file(file)


def test_aliases_that_write_out_to_more_than_there_can_be_are_refused(file: Path) -> None:
    levels = ["- &l0 [x, x, x, x, x, x, x, x, x]"]
    levels += [f"- &l{level} [{', '.join([f'*l{level - 1}'] * 9)}]" for level in range(1, 20)]
    file.write_text("metadata:\n" + "\n".join(f"  {line}" for line in levels))
    with pytest.raises(ConfigurationError, match=r"more than 200,000 values when its aliases are written out"):
        load_file(file)


@pytest.mark.parametrize("levels", [1, 7, 30])
def test_a_key_that_is_no_text_is_refused_and_never_written_out(file: Path, levels: int) -> None:
    lines = ["- &l0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"- &l{level} [{', '.join([f'*l{level - 1}'] * 9)}]" for level in range(1, levels)]
    file.write_text("metadata:\n" + "\n".join(f"  {line}" for line in lines) + f"\nspec:\n  ? *l{levels - 1}\n  : 1\n")
    with pytest.raises(ConfigurationError, match="a key is a sequence, not a string") as refused:
        load_file(file)
    assert len(str(refused.value)) < 300


def test_a_few_aliases_are_taken(file: Path) -> None:
    step = "{depth: 0, limit: 8}"
    file.write_text(
        "apiVersion: cloudscale.io/v1alpha1\nkind: EventPipeline\nmetadata: {name: x, labels: &labels {team: a}}\n"
        f"spec:\n  processing: {{concurrency: {{steps: [{step}]}}}}\n"
    )
    load_file(file)


def test_a_file_that_is_far_too_large_is_not_read_to_its_end(file: Path) -> None:
    with file.open("wb") as sparse:
        sparse.truncate(10**12)
    with pytest.raises(ConfigurationError, match=r"more than 262,144 bytes"):
        load_file(file)


def test_a_file_that_is_no_text_is_refused(file: Path) -> None:
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigurationError, match="is not UTF-8"):
        load_file(file)


def test_a_date_in_a_file_stays_text(file: Path) -> None:
    file.write_text(json.dumps(document()).replace('"example"', "2024-01-01"))
    with pytest.raises(InvalidPipelineError, match="'2024-01-01' does not match"):
        load_file(file)


@pytest.mark.parametrize("limit", ["perClient", "global"])
def test_a_burst_of_events_lets_the_largest_batch_pass(limit: str) -> None:
    smallest = {"eventsBurst": MAXIMUM_BATCH_EVENTS}
    load(document({"ingestion": {"rateLimits": {limit: smallest}}}))
    refused = problems({"ingestion": {"rateLimits": {limit: {"eventsBurst": MAXIMUM_BATCH_EVENTS - 1}}}})
    assert f"ingestion.rateLimits.{limit}.eventsBurst" in refused[0]


def test_by_default_an_anonymous_sender_is_held_to_a_thousand_events_a_second() -> None:
    limits = load(document()).spec.ingestion.rate_limits
    assert (limits.per_client.events_per_second, limits.per_client.events_burst) == (1_000, 10_000)
    # All together are bounded as well, or many addresses would do what one may not.
    assert (limits.global_.events_per_second, limits.global_.events_burst) == (10_000, 100_000)


def test_by_default_a_key_may_send_100_requests_a_second_a_tenant_1_000_and_all_10_000() -> None:
    limits = load(document()).spec.ingestion.rate_limits
    assert (limits.per_key.per_second, limits.per_tenant.per_second) == (100, 1_000)
    assert (limits.global_.limit, limits.global_.window) == (10_000, "1s")
