"""The body of a query request, and queries over the few resources that are not documents."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from cloudscale.emulators.cosmos.decoding import decode_json
from cloudscale.emulators.cosmos.query.condition import memory
from cloudscale.emulators.cosmos.query.execution import MAXIMUM_PAGE_ITEMS, run_page
from cloudscale.emulators.cosmos.query.parser import parse_query
from cloudscale.emulators.cosmos.query.scope import Bindings, plain_root
from cloudscale.emulators.cosmos.query.statement import compile_query


class QueryParameter(msgspec.Struct):
    """``@name`` and its value."""

    name: str
    value: Any = None


class QueryRequest(msgspec.Struct):
    """``{"query": …, "parameters": […]}``."""

    query: str
    parameters: list[QueryParameter] | None = None

    @property
    def values(self) -> dict[str, Any]:
        """The parameters' values by name."""
        return {parameter.name: parameter.value for parameter in self.parameters or ()}


_request_decoder: Final = msgspec.json.Decoder(QueryRequest)


def parse_request(body: bytes) -> QueryRequest:
    """Read the body; raises CosmosError 400."""
    return decode_json(_request_decoder, body, "The query request")


def select_resources(members: Sequence[bytes], body: bytes) -> list[bytes]:
    """The results of a query over resources given as JSON text."""
    request = parse_request(body)
    query = parse_query(request.query)
    bindings = Bindings()
    encoded = bindings.bind(b"[" + b",".join(members) + b"]")
    statement = compile_query(
        query,
        table=f"(SELECT key AS number, value AS body FROM json_each(CAST({encoded} AS TEXT)))",
        root=plain_root(),
        bindings=bindings,
        parameters=request.values,
        where=query.where,
    )
    return run_page(memory(), statement, page_size=MAXIMUM_PAGE_ITEMS, continuation=None).results
