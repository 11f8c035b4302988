"""Arguments and environment of the operator."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cloudscale.errors import ConfigurationError
from cloudscale_operator.options import read_options

if TYPE_CHECKING:
    from pathlib import Path


def test_the_environment_is_enough() -> None:
    options = read_options([], {"CLOUDSCALE_IMAGE": "cloudscale:1", "CLOUDSCALE_NAMESPACES": "a, b"})
    assert (options.image, options.namespaces, options.health_port) == ("cloudscale:1", ("a", "b"), 8080)


def test_an_argument_wins_over_the_environment() -> None:
    assert read_options(["--image", "other:1"], {"CLOUDSCALE_IMAGE": "cloudscale:1"}).image == "other:1"


def test_an_operator_without_an_image_does_not_start() -> None:
    with pytest.raises(ConfigurationError, match="CLOUDSCALE_IMAGE"):
        read_options([], {})


@pytest.mark.parametrize("name", ["HEALTH_PORT", "LOG_LEVEL"])
def test_a_variable_that_cannot_be_used_is_named(name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"CLOUDSCALE_{name}"):
        read_options([], {"CLOUDSCALE_IMAGE": "cloudscale:1", f"CLOUDSCALE_{name}": "x"})


def test_alerting_rules_are_read_from_their_file(tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text("groups: []")
    arguments = ["--image", "x", "--rules-file", str(tmp_path / "rules.yaml")]
    assert read_options(arguments, {}).alerting_rules() == "groups: []"


def test_a_missing_rules_file_is_named(tmp_path: Path) -> None:
    options = read_options(["--image", "x", "--rules-file", str(tmp_path / "none.yaml")], {})
    with pytest.raises(ConfigurationError, match=r"none\.yaml"):
        options.alerting_rules()
