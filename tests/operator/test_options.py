"""Arguments and environment of the operator."""

from __future__ import annotations

import pytest

from cloudscale.errors import ConfigurationError
from cloudscale_operator.options import read_options


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
