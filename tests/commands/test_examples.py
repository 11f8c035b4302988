from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from cloudscale import examples
from cloudscale.commands.cli import app
from cloudscale.errors import ConfigurationError
from cloudscale.examples import Kind

if TYPE_CHECKING:
    from typer.testing import Result


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def test_all_examples_are_listed_with_kind_and_description() -> None:
    lines = invoke("examples").output.splitlines()
    assert [line.split()[:2] for line in lines] == [
        [name, kind.label] for kind in Kind for name in examples.names(kind)
    ]
    assert all(len(line.split()) > 3 for line in lines)


@pytest.mark.parametrize(("name", "kind"), [("custom-event", Kind.PIPELINE), ("events", Kind.EVENTS)])
def test_an_example_is_printed_as_it_is(name: str, kind: Kind) -> None:
    assert invoke("examples", name).output == examples.find(name, kind=kind).read_text()


def test_an_example_is_validated_by_its_name() -> None:
    result = invoke("validate", "--example", "custom-event")
    assert result.exit_code == 0
    assert result.output.endswith("newsletter is valid\n")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("run",), r"no file is given: name a file, or an example with --example \(archive, bench, "),
        (("run", "a.yaml", "--example", "bench"), "a file and an example are both given: name a file, or an example"),
        (("run", "--example", "events"), "no example events of kind pipeline: choose one of archive, bench, "),
        (("validate", "--example", "mine"), "no example mine of kind pipeline: choose one of archive, bench, "),
        (("events", "send", "--example", "bench"), "no example bench of kind events: choose one of events, purchases"),
        (("events", "replay"), "no file is given"),
        (("examples", "mine"), "no example mine: choose one of archive, bench, .*, events, purchases-sample"),
    ],
)
def test_what_cannot_be_chosen_is_answered_with_what_can(arguments: tuple[str, ...], complaint: str) -> None:
    with pytest.raises(ConfigurationError, match=complaint):
        CliRunner().invoke(app, list(arguments), catch_exceptions=False)
