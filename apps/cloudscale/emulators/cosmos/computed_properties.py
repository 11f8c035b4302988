"""Computed properties: expressions over a document that queries use like properties.

"Computed properties in Azure Cosmos DB": at most twenty, each ``SELECT VALUE`` of an expression over the document.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from cloudscale.emulators.cosmos.errors import CosmosError, bad_request
from cloudscale.emulators.cosmos.property_path import SYSTEM_PROPERTIES
from cloudscale.emulators.cosmos.query.ast import Expression, Query, Subquery
from cloudscale.emulators.cosmos.query.compiler import Compiler
from cloudscale.emulators.cosmos.query.parser import parse_query
from cloudscale.emulators.cosmos.query.scope import DOCUMENT, Compilation, Scope
from cloudscale.emulators.cosmos.query.selection import compile_subquery

MAXIMUM_COMPUTED_PROPERTIES: Final = 20
_RESERVED: Final = frozenset({"id", *SYSTEM_PROPERTIES})


class _ComputedProperty(msgspec.Struct):
    name: str
    query: str


def parse_computed_properties(definition: Mapping[str, Any]) -> dict[str, Expression]:
    """The expressions of a container's computed properties by name; raises CosmosError 400."""
    given = definition.get("computedProperties")
    if not given:
        return {}
    try:
        properties = msgspec.convert(given, list[_ComputedProperty])
    except msgspec.ValidationError as error:
        raise bad_request(f"One of the specified inputs is invalid: computedProperties, {error}.") from error
    if len(properties) > MAXIMUM_COMPUTED_PROPERTIES:
        raise bad_request(f"A container has at most {MAXIMUM_COMPUTED_PROPERTIES} computed properties.")
    found: dict[str, Expression] = {}
    for each in properties:
        if not each.name or each.name in _RESERVED or each.name in found:
            raise bad_request(f"'{each.name[:40]}' cannot name a computed property: it is empty, reserved or taken.")
        found[each.name] = _expression(each)
    return found


def _expression(given: _ComputedProperty) -> Expression:
    try:
        query = parse_query(given.query)
        plain = Query(container=query.container, selects_document=True, value=query.value)
        if query.value is None or query != plain:
            raise bad_request("it must be SELECT VALUE of an expression, FROM the document alone")
        # It is compiled where it is used: here only to find what is wrong with it.
        Compiler(Compilation({}), Scope({query.container: DOCUMENT}), compile_subquery).compile(query.value)
    except CosmosError as error:
        raise bad_request(f"The computed property '{given.name[:40]}' cannot be used: {error.message}") from error
    return Subquery(plain)
