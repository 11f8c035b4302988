"""Where the next page of tenants or keys goes on, as an opaque text.

A cursor allows nothing: what is listed follows from the authority alone, and one that somebody makes up is at the most
another place in records that he may list anyway.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from cloudscale.dashboard.problems import Kind, RefusedReadingError
from cloudscale.dashboard.reading.opaque_text import read_opaque, write_opaque
from cloudscale.dashboard.reading.parameters import Parameters
from cloudscale.events.checking import TenantId

if TYPE_CHECKING:
    from starlette.datastructures import QueryParams

MOST_RECORDS: Final = 200
USUAL_RECORDS: Final = 50
MOST_CHARACTERS: Final = 256
TENANT_PARAMETERS: Final = ("limit", "cursor")
KEY_PARAMETERS: Final = ("tenant", "limit", "cursor")

_POSITION: Final = re.compile(r"(tenant [A-Za-z0-9._@-]{1,64})|([A-Za-z0-9._@-]{1,64}:[A-Za-z0-9]{12})")


def write_cursor(position: str) -> str:
    """The cursor of the page behind a record's position."""
    return write_opaque(position.encode())


def read_tenants_page(given: QueryParams) -> tuple[int, str]:
    """How many tenants are asked for, and behind which position.

    Raises:
        RefusedReadingError: some parameters are wrong.
    """
    parameters = Parameters(given, TENANT_PARAMETERS)
    limit, after = _page(parameters, is_of_tenants=True)
    parameters.check()
    return limit, after


def read_keys_page(given: QueryParams, only_tenant: str | None) -> tuple[str | None, int, str]:
    """Whose keys are asked for, how many, and behind which position.

    ``only_tenant`` is meant where none is named.

    Raises:
        RefusedReadingError: some parameters are wrong.
    """
    parameters = Parameters(given, KEY_PARAMETERS)
    tenant_id = parameters.text("tenant", TenantId, "is no identifier of a tenant") or only_tenant
    limit, after = _page(parameters, is_of_tenants=False)
    if tenant_id is not None and after and not after.startswith(f"{tenant_id}:"):
        parameters.refuse("cursor", "belongs to another list: give what the page before has as next, unchanged")
    parameters.check()
    return tenant_id, limit, after


def refuse_parameters(given: QueryParams) -> None:
    """Make sure that there are none.

    Raises:
        RefusedReadingError: there are.
    """
    if given:
        raise RefusedReadingError(Kind.INVALID, "This address takes no parameters.")


def _page(parameters: Parameters, *, is_of_tenants: bool) -> tuple[int, str]:
    limit = parameters.number("limit", usual=USUAL_RECORDS, most=MOST_RECORDS)
    cursor = parameters.get("cursor")
    if cursor is None:
        return limit, ""
    position = _read(cursor)
    found = _POSITION.fullmatch(position)
    if found is None or (found[1] is not None) != is_of_tenants:
        parameters.refuse("cursor", "is none of this list: give what the page before has as next, unchanged")
    return limit, position


def _read(cursor: str) -> str:
    try:
        return read_opaque(cursor, most_characters=MOST_CHARACTERS).decode("ascii")
    except ValueError:
        return ""
