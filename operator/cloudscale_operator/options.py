"""What the operator is told at its start, by arguments or environment variables."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Literal

import msgspec

from cloudscale.errors import ConfigurationError
from cloudscale.telemetry.prometheus_rules import RUNBOOKS
from cloudscale_operator.hosts import AZURE_HOSTS, is_pattern

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """One process of the operator. Lists are separated by commas; no namespaces means all of them."""

    image: str
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] = "IfNotPresent"
    image_pull_secrets: tuple[str, ...] = ()
    namespaces: tuple[str, ...] = ()
    authority_secret: str = "cloudscale-backends-ca"  # noqa: S105 - the name of a Secret
    allowed_hosts: tuple[str, ...] = AZURE_HOSTS
    azure_tenant_id: str = ""
    azure_authority_host: str = "https://login.microsoftonline.com/"
    runbooks: str = RUNBOOKS
    health_port: int = 8080
    metrics_port: int = 9090
    log_format: Literal["json", "console"] = "json"
    log_level: Literal["debug", "info", "warning", "error"] = "info"


_HELP = {
    "image": "image that the pods of pipelines run",
    "image_pull_policy": "pull policy of these pods",
    "image_pull_secrets": "Secrets to pull it with, separated by commas",
    "namespaces": "namespaces to watch, separated by commas; all if empty",
    "authority_secret": "Secret whose ca.crt is trusted, beside the public authorities, for backends in the cluster",
    "allowed_hosts": "hosts to which tokens may go, or suffixes (.example.org), separated by commas",
    "azure_tenant_id": "Microsoft Entra tenant of the pipelines' identities",
    "azure_authority_host": "where Microsoft Entra is, for another cloud than the public one",
    "runbooks": "address of the folder that holds the runbooks, which alerts lead to",
    "health_port": "port of /healthz",
    "metrics_port": "port of /metrics",
    "log_format": "json or console",
    "log_level": "least level logged",
}
_LISTS = ("image_pull_secrets", "namespaces", "allowed_hosts")
# Set by AKS' workload identity in the pods of an account that has one.
_ELSEWHERE = {"azure_tenant_id": "AZURE_TENANT_ID", "azure_authority_host": "AZURE_AUTHORITY_HOST"}


def read_options(arguments: Sequence[str], environment: Mapping[str, str]) -> Options:
    """Read arguments (``--health-port``), and environment variables (``CLOUDSCALE_HEALTH_PORT``) for the others.

    Raises:
        ConfigurationError: no image is given, or a value cannot be used; the message names it.
    """
    parser = argparse.ArgumentParser(prog="cloudscale_operator", description="Turns EventPipelines into workloads.")
    for name, text in _HELP.items():
        default = environment.get(_variable(name), environment.get(_ELSEWHERE.get(name, "")))
        parser.add_argument(f"--{name.replace('_', '-')}", default=default, help=text)
    given = {name: value for name, value in vars(parser.parse_args(arguments)).items() if value is not None}
    if not given.get("image"):
        raise ConfigurationError("no image: set CLOUDSCALE_IMAGE or --image to what the pods of pipelines should run")
    for name in _LISTS:
        if name in given:
            given[name] = [item.strip() for item in given[name].split(",") if item.strip()]
    for host in given.get("allowed_hosts", ()):
        if not is_pattern(host):
            raise ConfigurationError(
                f"--allowed-hosts or {_variable('allowed_hosts')} cannot be used: {host!r} is neither a host "
                "nor a suffix that begins with a dot, in lower case"
            )
    try:
        return msgspec.convert(given, Options, strict=False)
    except msgspec.ValidationError as error:
        name = str(error).rpartition("$.")[2].rstrip("`")
        raise ConfigurationError(f"--{name.replace('_', '-')} or {_variable(name)} cannot be used: {error}") from None


def _variable(name: str) -> str:
    return f"CLOUDSCALE_{name.upper()}"
