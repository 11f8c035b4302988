"""The velocity rule: flags events from a client that sends too many, and raises one alert for each window."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING
from urllib.parse import quote

from cloudscale.events.timestamps import as_utc
from cloudscale.limits.addresses import client_of
from cloudscale.limits.velocity import VelocityEvent
from cloudscale.store.alerts import Alert

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import timedelta

    from cloudscale.limits.velocity import VelocityWindows
    from cloudscale.store.batches import Document
    from cloudscale.worker.decoding import Accepted

RECENT_ALERTS = 10_000

About = tuple[str, str, int]
"""What one alert is about: tenant, client (an address, or its network) and number of the window since the epoch."""


class VelocityRule:
    """Flags the events that exceed ``limit`` in ``window`` from one client address."""

    def __init__(self, windows: VelocityWindows, *, limit: int, window: timedelta) -> None:
        self._windows = windows
        self._limit = limit
        self._window_seconds = window.total_seconds()
        self._raised: OrderedDict[About, None] = OrderedDict()

    async def flag(self, documents: Sequence[Document], accepted: Sequence[Accepted]) -> dict[About, Alert]:
        """Set ``suspicious`` on each document, and ``fraud`` on those that are; the alerts that are to be raised."""
        places = [place for place, event in enumerate(accepted) if event.client_address]
        counts = await self._windows.count(
            [
                VelocityEvent(client_of(event.client_address), event.id, event.received_at.timestamp() * 1000)
                for event in (accepted[place] for place in places)
            ]
        )
        for document in documents:
            document["suspicious"] = False
        alerts: dict[About, Alert] = {}
        for place, count in zip(places, counts, strict=True):
            if count <= self._limit:
                continue
            evidence = {
                "rule": "velocity",
                "count": count,
                "limit": self._limit,
                "windowSeconds": self._window_seconds,
            }
            documents[place]["suspicious"] = True
            documents[place]["fraud"] = evidence
            event = accepted[place]
            turn = int(event.received_at.timestamp() // self._window_seconds)
            about = (event.tenant_id, client_of(event.client_address), turn)
            if about not in self._raised and about not in alerts:
                alerts[about] = self._alert(event, evidence, about)
        return alerts

    def remember(self, alerts: Iterable[About]) -> None:
        """Do not ask for these alerts again: they are raised. A flood would write the same one with each message."""
        for about in alerts:
            self._raised[about] = None
        while len(self._raised) > RECENT_ALERTS:
            self._raised.popitem(last=False)

    def _alert(self, event: Accepted, evidence: dict[str, object], about: About) -> Alert:
        _, client, window = about
        return Alert(
            # A slash of a network or scope in the address must not get into a document id.
            id=f"velocity-{quote(client, safe=':.')}-{window}",
            kind="velocity",
            tenant_id=event.tenant_id,
            created_at=as_utc(event.received_at),
            user_id=event.user_id,
            client_address=event.client_address,
            correlation_id=event.correlation_id,
            evidence={**evidence, "eventId": event.id},
        )
