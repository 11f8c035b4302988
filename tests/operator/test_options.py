"""Arguments and environment of the operator."""

from __future__ import annotations

import pytest

from cloudscale.errors import ConfigurationError
from cloudscale_operator.hosts import AZURE_HOSTS
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


def test_azures_hosts_are_allowed_unless_others_are_named() -> None:
    environment = {"CLOUDSCALE_IMAGE": "cloudscale:1"}
    assert read_options([], environment).allowed_hosts == AZURE_HOSTS
    named = environment | {"CLOUDSCALE_ALLOWED_HOSTS": ".example.org, broker.example.com"}
    assert read_options([], named).allowed_hosts == (".example.org", "broker.example.com")


@pytest.mark.parametrize("text", ["*.example.org", "https://example.org", ".EXAMPLE.org"])
def test_a_host_that_cannot_be_one_is_named(text: str) -> None:
    with pytest.raises(ConfigurationError, match="CLOUDSCALE_ALLOWED_HOSTS"):
        read_options([], {"CLOUDSCALE_IMAGE": "cloudscale:1", "CLOUDSCALE_ALLOWED_HOSTS": text})


def test_the_tenant_of_the_operators_own_workload_identity_is_the_default() -> None:
    environment = {"CLOUDSCALE_IMAGE": "cloudscale:1", "AZURE_TENANT_ID": "own", "AZURE_AUTHORITY_HOST": "https://a/"}
    options = read_options([], environment)
    assert (options.azure_tenant_id, options.azure_authority_host) == ("own", "https://a/")
    named = read_options([], environment | {"CLOUDSCALE_AZURE_TENANT_ID": "told"})
    assert named.azure_tenant_id == "told"
