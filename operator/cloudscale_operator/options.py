"""What the operator is told at its start, by arguments or environment variables."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Literal

import msgspec

from cloudscale.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """One process of the operator. Lists are separated by commas; no namespaces means all of them."""

    image: str
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] = "IfNotPresent"
    image_pull_secrets: tuple[str, ...] = ()
    namespaces: tuple[str, ...] = ()
    authority_secret: str = "cloudscale-backends-ca"  # noqa: S105 - the name of a Secret
    health_port: int = 8080
    metrics_port: int = 9090
    log_format: Literal["json", "console"] = "json"
    log_level: Literal["debug", "info", "warning", "error"] = "info"


_HELP = {
    "image": "image that the pods of pipelines run",
    "image_pull_policy": "pull policy of these pods",
    "image_pull_secrets": "Secrets to pull it with, separated by commas",
    "namespaces": "namespaces to watch, separated by commas; all if empty",
    "authority_secret": "Secret whose ca.crt the backends' certificates are checked with, where it exists",
    "health_port": "port of /healthz",
    "metrics_port": "port of /metrics",
    "log_format": "json or console",
    "log_level": "least level logged",
}
_LISTS = ("image_pull_secrets", "namespaces")


def read_options(arguments: Sequence[str], environment: Mapping[str, str]) -> Options:
    """Read arguments (``--health-port``), and environment variables (``CLOUDSCALE_HEALTH_PORT``) for the others.

    Raises:
        ConfigurationError: no image is given, or a value cannot be used; the message names it.
    """
    parser = argparse.ArgumentParser(prog="cloudscale_operator", description="Turns EventPipelines into workloads.")
    for name, text in _HELP.items():
        parser.add_argument(f"--{name.replace('_', '-')}", default=environment.get(_variable(name)), help=text)
    given = {name: value for name, value in vars(parser.parse_args(arguments)).items() if value is not None}
    if not given.get("image"):
        raise ConfigurationError("no image: set CLOUDSCALE_IMAGE or --image to what the pods of pipelines should run")
    for name in _LISTS:
        if name in given:
            given[name] = [item.strip() for item in given[name].split(",") if item.strip()]
    try:
        return msgspec.convert(given, Options, strict=False)
    except msgspec.ValidationError as error:
        name = str(error).rpartition("$.")[2].rstrip("`")
        raise ConfigurationError(f"--{name.replace('_', '-')} or {_variable(name)} cannot be used: {error}") from None


def _variable(name: str) -> str:
    return f"CLOUDSCALE_{name.upper()}"
