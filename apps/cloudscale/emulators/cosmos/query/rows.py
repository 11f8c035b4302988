"""The documents that a query looks at."""

from collections.abc import Iterator
from typing import Any, Final, Protocol

from cloudscale.emulators.cosmos.query.values import SortKey

Position = tuple[int, ...]
"""Where a document comes in the order in which documents are read; no two have the same."""


class Row(Protocol):
    """A document that a query looks at."""

    @property
    def position(self) -> Position:
        """Its place in the order in which documents are read."""

    def load(self) -> dict[str, Any]:
        """What the query needs of it."""

    def render(self) -> bytes:
        """All of it, as clients see it."""


class Rows(Protocol):
    """The documents that a query is about."""

    def start(self, position: Position | None) -> Iterator[Row]:
        """The documents from a position on, or all."""

    def fetch(self, position: Position) -> Row | None:
        """The document at a position, unless it is gone."""

    def in_order(self, after: SortKey | None) -> tuple[Iterator[Row], Iterator[Row]] | None:
        """The documents by what the query orders them by, from ``after`` on, and before them those not yet in order.

        None when they are in no such order.
        """


class _Nothing:
    """One row for a query that is about no documents."""

    position = (0,)

    def start(self, position: Position | None) -> Iterator[Row]:  # noqa: ARG002 - the interface's signature
        yield self

    def fetch(self, position: Position) -> Row:  # noqa: ARG002 - the interface's signature
        return self

    def in_order(self, after: SortKey | None) -> None:
        """A single row needs no order."""

    def load(self) -> dict[str, Any]:
        return {}

    def render(self) -> bytes:
        return b"{}"


NO_DOCUMENTS: Final = _Nothing()
