"""The generated pages hold all that the code has, and their examples are valid."""

from __future__ import annotations

import msgspec
import pytest
from docs.generator.command_line import commands
from docs.generator.configuration import CHARTS, chart_values
from docs.generator.examples import BESIDE, example_of
from docs.generator.http_api import described
from docs.generator.pages import PAGES
from docs.generator.resource import Field, is_leaf, spec_fields
from docs.generator.telemetry import families
from prometheus_client import REGISTRY

from cloudscale.pipeline import load
from cloudscale.pipeline.crd import CONDITIONS
from cloudscale.settings import Settings, variable_name
from cloudscale.telemetry.prometheus_rules import rule_groups

LEAVES = [field for field in spec_fields() if is_leaf(field.schema)]
OUTSIDE_LISTS = [field for field in LEAVES if "[]" not in field.path]


def path_of(field: Field) -> str:
    """A test's name."""
    return field.path


def merged(one: dict[str, object], other: dict[str, object]) -> dict[str, object]:
    """Both, member by member."""
    result = dict(one)
    for name, value in other.items():
        former = result.get(name)
        result[name] = merged(former, value) if isinstance(former, dict) and isinstance(value, dict) else value
    return result


@pytest.mark.parametrize("field", LEAVES, ids=path_of)
def test_each_field_has_its_row_and_an_example(field: Field) -> None:
    assert f"| `{field.path}` |" in PAGES["resource.md"]()
    assert example_of(field.path, field.schema) is not None


@pytest.mark.parametrize("field", OUTSIDE_LISTS, ids=path_of)
def test_the_example_of_a_field_is_valid_in_a_resource(field: Field) -> None:
    value = example_of(field.path, field.schema)
    names = field.path.split(".")
    if names[-1] in {"key", "name"} and names[-2].endswith("SecretRef"):
        value, names = {"name": "shop-credentials", "key": "connectionString"}, names[:-1]
    if field.path == "eventTypes":
        value = [{"name": "newsletter_signup"}]
    spec: dict[str, object] = {names[-1]: value}
    for name in reversed(names[:-1]):
        spec = {name: spec}

    pipeline = load(
        {
            "apiVersion": "cloudscale.io/v1alpha1",
            "kind": "EventPipeline",
            "metadata": {"name": "example"},
            "spec": merged(spec, BESIDE.get(field.path, {})),
        }
    )

    assert pipeline.metadata.name == "example"


def test_each_command_and_each_option_has_its_place() -> None:
    page = PAGES["command-line.md"]()
    assert {("run",), ("verify",), ("dlq", "list"), ("events", "replay")} <= {command.words for command in commands()}
    for command in commands():
        assert f"## cloudscale {' '.join(command.words)}\n" in page
        assert all(parameter.names[0] in page or parameter.names[0].upper() in page for parameter in command.parameters)
        assert all(parameter.help for parameter in command.parameters), command.words


def test_each_route_and_object_of_the_api_has_its_place() -> None:
    page, document = PAGES["http-api.md"](), described()
    assert all(f" {path}\n" in page for path in document["paths"])
    assert all(
        f"### {name}\n" in page for name, schema in document["components"]["schemas"].items() if "properties" in schema
    )


def test_each_metric_has_its_row() -> None:
    page = PAGES["metrics.md"]()
    assert len(families(REGISTRY)) > 15
    assert all(f"| `{family.name}" in page for family in families(REGISTRY))


def test_each_alert_has_its_place() -> None:
    page = PAGES["alerts.md"]()
    alerts = [rule["alert"] for group in rule_groups() for rule in group["rules"] if "alert" in rule]
    assert all(f"## {alert}\n" in page for alert in alerts)


def test_each_condition_is_named() -> None:
    assert all(f"`{condition}`" in PAGES["conditions.md"]() for condition in CONDITIONS)


def test_each_variable_has_its_row_and_a_meaning() -> None:
    page = PAGES["configuration.md"]()
    assert all(f"| `{variable_name(field.name)}` |" in page for field in msgspec.structs.fields(Settings))


@pytest.mark.parametrize("chart", CHARTS)
def test_each_value_of_a_chart_has_its_row(chart: str) -> None:
    assert all(f"| `{path}` |" in PAGES["chart-values.md"]() for path, _, _ in chart_values(chart))
