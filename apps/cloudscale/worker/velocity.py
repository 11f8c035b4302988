"""The velocity rules: flag events of a client, or of a user, with too many requests in a window.

What is counted is what end users do: a batch is one request, and servers that send for many users are named by their
networks. Requests count when they are received. What happened long before, as in a replay, counts when it happened: the
speed of a replay says nothing about the users.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from cloudscale.limits.addresses import client_of
from cloudscale.limits.velocity import VelocityEvent
from cloudscale.worker.fraud_rules import Finding

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime, timedelta

    from cloudscale.limits.addresses import Networks
    from cloudscale.limits.velocity import VelocityWindows
    from cloudscale.store.alerts import Kind
    from cloudscale.worker.decoding import Accepted

    Sender = Callable[[Accepted], str | None]
    """Whom a request is counted for; None when it is not counted."""


def client_outside(trusted: Networks) -> Sender:
    """The client's address, or its network, unless it is in one of the ``trusted`` networks."""

    def sender(event: Accepted) -> str | None:
        address = event.client_address
        return None if not address or (trusted and trusted.contain(address)) else client_of(address)

    return sender


def user(event: Accepted) -> str | None:
    """The user of a tenant."""
    # An address has no space, so that no user is taken for one.
    return None if event.user_id is None else f"user {event.tenant_id} {event.user_id}"


class VelocityRule:
    """Finds the events that exceed ``limit`` requests in ``window`` from one sender, whom the field ``per`` names."""

    def __init__(
        self,
        windows: VelocityWindows,
        *,
        kind: Kind,
        per: str,
        sender: Sender,
        limit: int,
        window: timedelta,
    ) -> None:
        self._windows = windows
        self._kind = kind
        self._per = per
        self._sender = sender
        self._limit = limit
        self._window = window

    async def find(self, accepted: Sequence[Accepted]) -> list[Finding | None]:
        """For each event what is suspicious about it."""
        sightings = [self._sighting(event) for event in accepted]
        counts = iter(await self._windows.count([sighting for sighting in sightings if sighting is not None]))
        return [
            None if sighting is None or (count := next(counts)) <= self._limit else self._finding(event, count)
            for event, sighting in zip(accepted, sightings, strict=True)
        ]

    def _sighting(self, event: Accepted) -> VelocityEvent | None:
        sender = self._sender(event)
        if sender is None:
            return None
        moment, is_late = self._moment_of(event)
        milliseconds = moment.timestamp() * 1000
        request = event.accepted_in or event.id
        if not is_late:
            return VelocityEvent(sender, request, milliseconds)
        # Its events may lie far apart, so a batch that is late is a request of each window that it has events in.
        return VelocityEvent(f"late {sender}", f"{request}:{self._turn(moment)}", milliseconds)

    def _moment_of(self, event: Accepted) -> tuple[datetime, bool]:
        """When an event counts, and whether that is when it happened rather than when it was received."""
        is_late = event.created_at < event.received_at - self._window
        return (event.created_at if is_late else event.received_at), is_late

    def _turn(self, moment: datetime) -> int:
        """Number of a window since the epoch."""
        return int(moment.timestamp() // self._window.total_seconds())

    def _finding(self, event: Accepted, count: int) -> Finding:
        moment, is_late = self._moment_of(event)
        evidence: dict[str, object] = {
            "count": count,
            "counted": "requests",
            "per": self._per,
            "by": "createdAt" if is_late else "receivedAt",
            "limit": self._limit,
            "windowSeconds": self._window.total_seconds(),
        }
        # A slash of a network or scope in the address must not get into a document id.
        about = f"{quote(self._sender(event) or '', safe=':.')}-{self._turn(moment)}"
        return Finding(self._kind, evidence, about)
