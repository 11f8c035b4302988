"""What a service process is told by its environment: where its resource file and its backends are.

The operator and the local runtime set the same variables, so a service cannot tell where it runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from cloudscale.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Addresses and credentials of one service process.

    A connection string is empty when the resource names a namespace or an endpoint that is reached with workload
    identity.
    """

    pipeline_file: str
    redis_url: str
    servicebus_connection_string: str = ""
    cosmos_connection_string: str = ""
    archive_connection_string: str = ""
    """Of the Blob storage that has the archive; empty for a directory."""
    servicebus_management_url: str = ""
    """Where the broker's HTTPS management API is, if not on port 443 of the namespace."""
    certificate_authority_file: str = ""
    """PEM file of an authority of the backends' own. It counts beside the public ones, for backends in the cluster and
    on this machine; see :mod:`cloudscale.trust`."""
    host: str = "127.0.0.1"
    port: int = 8080
    metrics_port: int = 9090
    processes: int = 1
    log_format: Literal["json", "console"] = "json"
    tls_folder: str = ""
    """Folder with ``tls.crt`` and ``tls.key``, which the service shows its clients; empty for plain HTTP."""
    dashboard_token_file: str = ""
    dashboard_client_secret_file: str = ""
    keys_file: str = ""
    """Keys that stand in a file: those of ``spec.access.keys``, see :mod:`cloudscale.access.given_keys`."""
    first_key_file: str = ""
    """The same, of the first key that the operator makes."""
    access: Literal["Required", "Open"] = "Required"
    """Whether senders need a key or token, where the resource's ``access.mode`` does not say."""


_PREFIX = "CLOUDSCALE_"


def variable_name(field: str) -> str:
    """The environment variable that sets ``field``: ``CLOUDSCALE_REDIS_URL`` for ``redis_url``."""
    return _PREFIX + field.upper()


def outlet_secret_variable(outlet: str) -> str:
    """The environment variable with an outlet's secrets: ``CLOUDSCALE_OUTLET_SECRET_DATA_LAKE`` for ``data-lake``.

    They are no settings, so that nothing writes them down.
    """
    return f"{_PREFIX}OUTLET_SECRET_{outlet.upper().replace('-', '_')}"


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Read the settings from environment variables.

    Raises:
        ConfigurationError: a variable is missing or has the wrong type; the message names the variable.
    """
    names = {field: variable_name(field) for field in Settings.__struct_fields__}
    given = {field: environment[name] for field, name in names.items() if name in environment}
    missing = [names[field] for field in ("pipeline_file", "redis_url") if field not in given]
    if missing:
        raise ConfigurationError(
            f"{' and '.join(missing)} not set: the service does not know its pipeline or its Redis"
        )
    try:
        return msgspec.convert(given, Settings, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"settings from the environment ({_PREFIX}…) cannot be used: {error}") from None


def as_environment(settings: Settings) -> dict[str, str]:
    """The environment variables that :func:`read_settings` turns back into ``settings``."""
    return {variable_name(field): str(getattr(settings, field)) for field in Settings.__struct_fields__}
