"""The pages of configuration variables, chart values and conditions."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import yaml
from docs.generator.command_line import commands
from docs.generator.markdown import code, page, table

from cloudscale.pipeline.crd import CONDITIONS, PHASES
from cloudscale.settings import Settings, outlet_secret_variable, variable_name
from cloudscale.telemetry.metrics import MULTIPROCESS_VARIABLE
from cloudscale.telemetry.tracing import AZURE_MONITOR_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
CHARTS = ("cloudscale", "cloudscale-backends", "cloudscale-keda")

_COMMENT = re.compile(r"^\s*#\s?(.*)$")
_KEY = re.compile(r"^(\s*)([A-Za-z][\w-]*):")

_MEANINGS = {
    "pipeline_file": "YAML file of the resource.",
    "redis_url": "Address of Redis, with its password.",
    "servicebus_connection_string": "Service Bus; empty when the resource names a namespace.",
    "cosmos_connection_string": "Cosmos DB; empty when the resource names an endpoint.",
    "archive_connection_string": "Blob storage of the archive; empty when it is in a directory.",
    "servicebus_management_url": "The broker's HTTPS management API, if not on port 443 of the namespace.",
    "certificate_authority_file": "PEM file of an authority of the backends' own, beside the public ones.",
    "host": "Address to listen on.",
    "port": "Port of the service.",
    "metrics_port": "Port of metrics and probes of a worker.",
    "processes": "Processes of ingestion.",
    "log_format": "`json`, or `console` for a terminal.",
    "tls_folder": "Folder with `tls.crt` and `tls.key`, which ingestion or the dashboard shows; HTTP without it.",
    "dashboard_token_file": "File with the dashboard's access tokens.",
    "keys_file": "File with the keys of `spec.access.keys`.",
    "first_key_file": "File with the first key that the operator makes.",
    "access": "`Open` or `Required`: whether events need a key where the resource's `access.mode` does not say.",
    "dashboard_client_secret_file": "File with the client secret of `spec.dashboard.signIn`.",
}


def variables() -> dict[str, tuple[str, str]]:
    """The variables that services and commands read: default and meaning by name."""
    found: dict[str, tuple[str, str]] = {}
    for field in msgspec.structs.fields(Settings):
        default = "*required*" if field.default is msgspec.NODEFAULT else code(str(field.default))
        found[variable_name(field.name)] = (default, _MEANINGS[field.name])
    for command in commands():
        for parameter in command.parameters:
            if parameter.variable:
                found[parameter.variable] = (
                    code(parameter.default),
                    f"{parameter.help} Option {code(parameter.names[0])}.",
                )
    found[outlet_secret_variable("NAME")] = (
        "",
        "Signing secret of the outlet NAME, in capitals with `_` for `-`; several with spaces between.",
    )
    found[AZURE_MONITOR_VARIABLE] = ("", "Connection string of Application Insights, where traces then go.")
    found[MULTIPROCESS_VARIABLE] = ("", "Folder in which the processes of one service add up their metrics.")
    return found


def render_variables() -> str:
    """The page of configuration variables."""
    rows = [[code(name), default, meaning] for name, (default, meaning) in variables().items()]
    return page(
        "Configuration variables",
        "The operator and `cloudscale run` set these for the services. Set them yourself to point a command at a "
        "pipeline elsewhere. Everything else is in the resource.",
        table(["Variable", "Default", "Meaning"], rows),
    )


def chart_values(chart: str) -> list[tuple[str, str, str]]:
    """The values of a chart: path, default and the comment above it."""
    text = (ROOT / "charts" / chart / "values.yaml").read_text()
    return list(_values(text, yaml.safe_load(text) or {}))


def render_chart_values() -> str:
    """The page of chart values."""
    parts = ["From the charts' own `values.yaml`; each chart checks what it is given against a schema."]
    for chart in CHARTS:
        rows = [[code(path), code(default), text] for path, default, text in chart_values(chart)]
        parts += [f"## charts/{chart}", table(["Value", "Default", "Meaning"], rows)]
    return page("Chart values", *parts)


def render_conditions() -> str:
    """The page of phases, conditions and reasons."""
    text = (ROOT / "docs" / "kubernetes.md").read_text()
    _, _, rest = text.partition("## What the status says\n")
    told = rest.partition("\n### ")[0].strip()
    return page(
        "Conditions",
        f"Types, in order: {', '.join(code(condition) for condition in CONDITIONS)}. The status is `True`, `False`, or "
        "`Unknown` when the operator cannot tell.",
        f"Phases: {', '.join(code(phase) for phase in PHASES)}.",
        "## Reasons",
        told,
    )


def _values(text: str, values: dict[str, object]) -> Iterator[tuple[str, str, str]]:
    comment: list[str] = []
    path: list[tuple[int, str]] = []
    for line in text.splitlines():
        if found := _COMMENT.match(line):
            comment.append(found[1])
        elif key := _KEY.match(line):
            path = [(indent, name) for indent, name in path if indent < len(key[1])] + [(len(key[1]), key[2])]
            names = [name for _, name in path]
            value: object = values
            for name in names:
                value = value.get(name) if isinstance(value, dict) else None
            # A mapping in block style is described by its members.
            if line.rstrip().endswith(":") and isinstance(value, dict) and value:
                if comment:
                    yield ".".join(names), "", " ".join(comment)
            else:
                yield ".".join(names), msgspec.json.encode(value).decode(), " ".join(comment)
            comment = []
        elif not line.strip():
            comment = []
