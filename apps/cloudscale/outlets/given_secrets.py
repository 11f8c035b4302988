"""The secrets that outlets sign with, as the environment gives them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloudscale.errors import ConfigurationError
from cloudscale.outlets.signature import parse_secrets
from cloudscale.settings import outlet_secret_variable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from cloudscale.pipeline.outlets import Outlet


def read_secrets(outlets: Iterable[Outlet], environment: Mapping[str, str]) -> dict[str, list[bytes]]:
    """The keys of each outlet, by its name.

    Raises:
        ConfigurationError: some are missing or cannot be used; there is a line for each.
    """
    keys: dict[str, list[bytes]] = {}
    problems = []
    for outlet in outlets:
        variable = outlet_secret_variable(outlet.name)
        if not environment.get(variable, "").strip():
            problems.append(
                f"outlet {outlet.name} has no secret to sign with: set {variable} to whsec_ and 32 random bytes in "
                'base64, such as "whsec_$(openssl rand -base64 32)"'
            )
            continue
        try:
            keys[outlet.name] = parse_secrets(environment[variable])
        except ConfigurationError as error:
            problems.append(f"the secret of outlet {outlet.name} in {variable} cannot be used: {error}")
    if problems:
        raise ConfigurationError("\n".join(problems))
    return keys
