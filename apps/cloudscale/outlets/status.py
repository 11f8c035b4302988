"""How an outlet stands: whether it sends, how far it is behind, and what it has put aside."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

import msgspec

from cloudscale.outlets.names import follower_name
from cloudscale.outlets.parked import ParkedEvents
from cloudscale.outlets.state import State, StateStore
from cloudscale.store.errors import MissingContainerError
from cloudscale.store.leases import LeaseStore

if TYPE_CHECKING:
    from cloudscale.pipeline.outlets import Outlet
    from cloudscale.store.events import EventStore

Word = Literal["new", "sending", "failing", "paused", "ended"]


class OutletStatus(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """The figures of an outlet."""

    name: str
    url: str
    state: Word
    """``new`` until its process has seen it, ``ended`` after a 410."""
    up_to_date_at: datetime | None = None
    """When it last had sent all that was stored then; None if that is not known."""
    lag_seconds: float | None = None
    """Since then."""
    parked: int = 0
    problem: str = ""
    """What became of the last request, if it failed."""
    failing_since: datetime | None = None
    next_attempt_at: datetime | None = None


async def status_of(outlet: Outlet, store: EventStore) -> OutletStatus:
    """Read how an outlet stands.

    Raises:
        BackendError: the store does not answer.
    """
    state = await StateStore(store, outlet.name).read()
    if state is None:
        return OutletStatus(name=outlet.name, url=outlet.webhook.url, state="new")
    try:
        leases = await LeaseStore(store, follower=follower_name(outlet.name)).all()
    except MissingContainerError:
        leases = []
    reached = [lease.checked_at or lease.since for lease in leases]
    known = [moment for moment in reached if moment is not None]
    at = min(known) if known and len(known) == len(reached) else None
    attempts = sorted(state.failing.values(), key=lambda each: each.since)
    return OutletStatus(
        name=outlet.name,
        url=outlet.webhook.url,
        state=_word(state),
        up_to_date_at=at,
        lag_seconds=None if at is None else max(0.0, (datetime.now(UTC) - at).total_seconds()),
        parked=await ParkedEvents(store, outlet.name).count(),
        problem=attempts[0].error if attempts else "",
        failing_since=attempts[0].since if attempts else None,
        next_attempt_at=min(each.next_at for each in attempts) if attempts else None,
    )


def _word(state: State) -> Word:
    if state.ended_at is not None:
        return "ended"
    if state.paused:
        return "paused"
    return "failing" if state.failing else "sending"
