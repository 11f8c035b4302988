"""The body of a query request, and queries over the few resources that are not documents."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from cloudscale.emulators.cosmos.decoding import decode_json
from cloudscale.emulators.cosmos.query.execution import MAXIMUM_PAGE_ITEMS, run_page
from cloudscale.emulators.cosmos.query.parser import parse_query
from cloudscale.emulators.cosmos.query.rows import Position, Row
from cloudscale.emulators.cosmos.query.scope import Compilation, Deadline
from cloudscale.emulators.cosmos.query.selection import compile_query
from cloudscale.emulators.cosmos.query.values import SortKey

# These queries run on the event loop, over what is in memory.
RESOURCE_SECONDS: Final = 1.0


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


@dataclass(frozen=True, slots=True)
class _Resource:
    position: Position
    text: bytes

    def load(self) -> dict[str, Any]:
        loaded: dict[str, Any] = msgspec.json.decode(self.text)
        return loaded

    def render(self) -> bytes:
        return self.text


class _Resources:
    def __init__(self, members: Sequence[bytes]) -> None:
        self._members = [_Resource((number,), text) for number, text in enumerate(members)]

    def start(self, position: Position | None) -> Iterator[Row]:
        yield from self._members[0 if position is None else position[0] :]

    def fetch(self, position: Position) -> Row | None:
        return self._members[position[0]]

    def in_order(self, after: SortKey | None) -> None:
        """They are few: they are sorted for each query."""


def select_resources(members: Sequence[bytes], body: bytes) -> list[bytes]:
    """The results of a query over resources given as JSON text."""
    request = parse_request(body)
    query = parse_query(request.query)
    compilation = Compilation(request.values, deadline=Deadline(RESOURCE_SECONDS))
    selection = compile_query(query, compilation, where=query.where)
    return run_page(
        selection,
        _Resources(members),
        places=compilation.places,
        page_size=MAXIMUM_PAGE_ITEMS,
        continuation=None,
    ).results
