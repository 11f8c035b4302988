"""Reads the change feed of the events' container, range by range.

The feed has every event once, in the order of its physical partition's log sequence number (``_lsn``), and never cuts a
transaction in two. A partition that is split goes on in two ranges whose numbers continue those of the parent.
"""

from __future__ import annotations

import base64
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import msgspec

from cloudscale.errors import BackendError
from cloudscale.store.client import open_client
from cloudscale.store.containers import ContainerNames
from cloudscale.store.errors import translated
from cloudscale.store.feed_range import FeedRange

if TYPE_CHECKING:
    from datetime import datetime

    from azure.cosmos.aio import ContainerProxy

    from cloudscale.pipeline import Store
    from cloudscale.settings import Settings
    from cloudscale.store.batches import Document


_POINT_IN_TIME = "PointInTimeMs"
_FIRST_IN_MILLISECONDS = 100_000_000_000
"""As seconds it is the year 5138, as milliseconds 1973."""


class ForeignContinuationError(BackendError):
    """A continuation belongs to another container than the one that has the name now."""


@dataclass(frozen=True)
class Page:
    """Events of one range in order, and the token that reads on after them."""

    events: list[Document]
    continuation: str | None


class EventFeed:
    """The change feed, as an async context manager.

    It has a client of its own, because the SDK keeps a page's token among the client's last response headers, where
    another call in between would replace it.
    """

    def __init__(self, spec: Store, settings: Settings) -> None:
        self._spec = spec
        self._settings = settings
        self._exits = AsyncExitStack()

    async def __aenter__(self) -> Self:
        client = await self._exits.enter_async_context(open_client(self._spec, self._settings))
        database = client.get_database_client(self._spec.database)
        self._container: ContainerProxy = database.get_container_client(ContainerNames.of(self._spec).events)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._exits.aclose()

    async def ranges(self, *, refresh: bool = False) -> set[FeedRange]:
        """The ranges at present, as the SDK last saw them; ``refresh`` asks the store."""
        with translated("list the ranges of the change feed"):
            found = [item async for item in self._container.read_feed_ranges(force_refresh=refresh)]
        return {FeedRange(item["Range"]["min"], item["Range"]["max"]) for item in found}

    async def read(self, of: FeedRange, *, continuation: str | None, since: datetime | None = None, limit: int) -> Page:
        """The next events of a range: after ``continuation``, or from ``since`` or the beginning without one.

        A page without events keeps the continuation it was asked with.

        Raises:
            ForeignContinuationError: the continuation is of a container that was deleted since.
            BackendError: the store did not answer.
        """
        options: dict[str, Any] = {"max_item_count": limit}
        if continuation is not None:
            options["continuation"] = continuation
        else:
            bounds = {"min": of.lower, "max": of.upper, "isMinInclusive": True, "isMaxInclusive": False}
            options |= {"feed_range": {"Range": bounds}, "start_time": since or "Beginning"}
        with translated(f"read the change feed of {of.id}"):
            pages = self._container.query_items_change_feed(**options).by_page()
            try:
                async for page in pages:
                    events = [event async for event in page]
                    token: str = pages.continuation_token  # type: ignore[attr-defined]  # of the SDK's iterator
                    return Page(events, _readable(token))
            except ValueError as error:
                if continuation is None:
                    raise
                # The SDK compares the container in the continuation with the one that it reads.
                text = f"the change feed of {of.id} cannot be read on: {error}"
                raise ForeignContinuationError(text) from error
        return Page([], continuation)


def _readable(continuation: str) -> str:
    """A continuation that the SDK can read: it writes in milliseconds where it began, and reads that as seconds.

    Left as it is, whoever began at a point in time could not read on. The time is of no use once there is a number.
    """
    state = msgspec.json.decode(base64.b64decode(continuation))
    start = state.get("startFrom") or {}
    if start.get(_POINT_IN_TIME, 0) < _FIRST_IN_MILLISECONDS:
        return continuation
    start[_POINT_IN_TIME] //= 1000
    return base64.b64encode(msgspec.json.encode(state)).decode()
