"""What the operator is told at its start, by arguments or environment variables."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from cloudscale.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True)
class Options:
    """One process of the operator. No namespaces means all of them."""

    image: str
    image_pull_policy: str
    image_pull_secrets: tuple[str, ...]
    namespaces: tuple[str, ...]
    authority_secret: str
    rules_file: str
    health_port: int
    metrics_port: int
    log_format: Literal["json", "console"]
    log_level: Literal["debug", "info", "warning", "error"]

    def alerting_rules(self) -> str:
        """The text of the rules file, empty without one.

        Raises:
            ConfigurationError: the file cannot be read.
        """
        if not self.rules_file:
            return ""
        try:
            return Path(self.rules_file).read_text(encoding="utf-8")
        except OSError as error:
            raise ConfigurationError(f"the rules file {self.rules_file} cannot be read: {error.strerror}") from None


def read_options(arguments: Sequence[str], environment: Mapping[str, str]) -> Options:
    """Read arguments, with environment variables (``CLOUDSCALE_…``) for what is not given.

    Raises:
        ConfigurationError: no image is given, or the rules file cannot be read.
    """

    def given(name: str, default: str = "") -> str:
        return environment.get(f"CLOUDSCALE_{name}", default)

    parser = argparse.ArgumentParser(prog="cloudscale_operator", description="Turns EventPipelines into workloads.")
    add = parser.add_argument
    add("--image", default=given("IMAGE"), help="image that the pods of pipelines run")
    add("--image-pull-policy", default=given("IMAGE_PULL_POLICY", "IfNotPresent"))
    add("--image-pull-secrets", default=given("IMAGE_PULL_SECRETS"), help="names of Secrets, separated by commas")
    add("--namespaces", default=given("NAMESPACES"), help="namespaces to watch, separated by commas; all if empty")
    add("--authority-secret", default=given("AUTHORITY_SECRET", "cloudscale-backends-ca"), help="Secret with ca.crt")
    add("--rules-file", default=given("RULES_FILE"), help="Prometheus rule groups to make PrometheusRules from")
    add("--health-port", type=int, default=int(given("HEALTH_PORT", "8080")))
    add("--metrics-port", type=int, default=int(given("METRICS_PORT", "9090")))
    add("--log-format", choices=("json", "console"), default=given("LOG_FORMAT", "json"))
    add("--log-level", choices=("debug", "info", "warning", "error"), default=given("LOG_LEVEL", "info"))
    parsed = parser.parse_args(arguments)
    if not parsed.image:
        raise ConfigurationError("no image: set CLOUDSCALE_IMAGE or --image to what the pods of pipelines should run")
    return Options(
        image=parsed.image,
        image_pull_policy=parsed.image_pull_policy,
        image_pull_secrets=_names(parsed.image_pull_secrets),
        namespaces=_names(parsed.namespaces),
        authority_secret=parsed.authority_secret,
        rules_file=parsed.rules_file,
        health_port=parsed.health_port,
        metrics_port=parsed.metrics_port,
        log_format=parsed.log_format,
        log_level=parsed.log_level,
    )


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())
