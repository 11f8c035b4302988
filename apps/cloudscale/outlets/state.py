"""What is remembered of an outlet beside its place: one document, which its follower and the commands change."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import msgspec
from azure.core import MatchConditions
from azure.cosmos.exceptions import CosmosHttpResponseError

from cloudscale.errors import BackendUnavailableError
from cloudscale.outlets.attempts import Attempts
from cloudscale.store.errors import translated
from cloudscale.store.leases import TAKEN

if TYPE_CHECKING:
    from collections.abc import Callable

    from cloudscale.store.events import EventStore

ID: Final = "state"
NOT_FOUND: Final = 404
ROUNDS: Final = 10


class State(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """An outlet as it stands. Times are in UTC."""

    outlet: str
    id: str = ID
    begins_at: datetime
    """Where it begins unless it begins with all that is stored: when its follower saw it first."""
    paused: bool = False
    ended_at: datetime | None = None
    """When the receiver ended the subscription."""
    rewind_to: datetime | None = None
    """Where to go on instead, as soon as the follower sees it."""
    failing: dict[str, Attempts] = {}
    """Failed attempts by the range whose events they are about."""
    etag: str | None = msgspec.field(default=None, name="_etag")

    @property
    def is_sending(self) -> bool:
        """Whether it is to send."""
        return not self.paused and self.ended_at is None


class StateStore:
    """The state of one outlet, in the outlets' container."""

    def __init__(self, store: EventStore, outlet: str) -> None:
        self._container = store.database.get_container_client(store.names.outlets)
        self._outlet = outlet

    async def read(self) -> State | None:
        """The state, None for an outlet that its follower has not seen."""
        with translated(f"read the state of outlet {self._outlet}"):
            try:
                return msgspec.convert(await self._container.read_item(ID, self._outlet), State)
            except CosmosHttpResponseError as error:
                if error.status_code == NOT_FOUND:
                    return None
                raise

    async def change(self, change: Callable[[State], State]) -> State:
        """Apply a change to the newest state, which is made if there is none.

        Raises:
            BackendUnavailableError: others changed it again and again, or the store does not answer.
        """
        for _ in range(ROUNDS):
            found = await self.read()
            before = found or State(outlet=self._outlet, begins_at=datetime.now(UTC))
            after = change(before)
            if found is not None and after == before:
                return found
            if await self._write(after, is_new=found is None):
                return after
        raise BackendUnavailableError(f"the state of outlet {self._outlet} changes all the time: try again")

    async def _write(self, state: State, *, is_new: bool) -> bool:
        document: dict[str, object] = msgspec.to_builtins(state)
        del document["_etag"]
        with translated(f"write the state of outlet {self._outlet}"):
            try:
                if is_new:
                    await self._container.create_item(document)
                else:
                    await self._container.replace_item(
                        ID, document, etag=state.etag, match_condition=MatchConditions.IfNotModified
                    )
            except CosmosHttpResponseError as error:
                if error.status_code in TAKEN:
                    return False
                raise
        return True
