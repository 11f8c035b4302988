"""Cart abandonment: some time after ``add_to_cart`` a scheduled message asks whether the user has purchased since."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import msgspec
from azure.servicebus import ServiceBusMessage

from cloudscale.events.timestamps import as_utc
from cloudscale.store.alerts import Alert, alert_id
from cloudscale.worker.decoding import CartCheck

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cloudscale.store.events import EventStore
    from cloudscale.worker.decoding import Accepted

CHECKS_PER_MESSAGE = 100


class CartWatch:
    """Schedules and answers the checks.

    Args:
        store: the events.
        after: how long after ``add_to_cart`` a purchase still counts.
        buckets: the store's ``partitionBuckets``.
    """

    def __init__(self, store: EventStore, *, after: timedelta, buckets: int) -> None:
        self._store = store
        self._after = after
        self._buckets = buckets

    def schedule(self, events: Sequence[Accepted]) -> list[ServiceBusMessage]:
        """Messages that check the carts that these events filled, due when the time is over.

        A cart that is scheduled twice is checked twice, and the second check finds what the first has found.
        """
        checks = [
            CartCheck(
                tenant_id=event.tenant_id,
                user_id=event.user_id,
                cart_event_id=event.id,
                since=event.created_at,
                correlation_id=event.correlation_id,
            )
            for event in events
            if event.user_id
        ]
        due = datetime.now(UTC) + self._after
        return [
            ServiceBusMessage(
                msgspec.json.encode(checks[start : start + CHECKS_PER_MESSAGE]),
                content_type="application/json",
                scheduled_enqueue_time_utc=due,
            )
            for start in range(0, len(checks), CHECKS_PER_MESSAGE)
        ]

    async def check(self, checks: Sequence[CartCheck]) -> list[Alert]:
        """Alerts for the carts whose user has not purchased within the time.

        Raises:
            BackendError: the store did not answer.
        """
        by_partition: dict[str, list[CartCheck]] = {}
        for check in checks:
            for partition_key in self._partitions(check):
                by_partition.setdefault(partition_key, []).append(check)
        purchased: dict[tuple[str, str], list[datetime]] = {}
        for partition_key, group in by_partition.items():
            for purchase in await self._store.purchases(
                partition_key,
                users=sorted({check.user_id for check in group}),
                since=as_utc(min(check.since for check in group)),
                until=as_utc(max(check.since for check in group) + self._after),
            ):
                time = datetime.fromisoformat(purchase["createdAt"])
                purchased.setdefault((group[0].tenant_id, purchase["userId"]), []).append(time)
        return [
            self._alert(check)
            for check in checks
            if not any(
                check.since <= time <= check.since + self._after
                for time in purchased.get((check.tenant_id, check.user_id), ())
            )
        ]

    def _alert(self, check: CartCheck) -> Alert:
        return Alert(
            id=alert_id("cart", check.cart_event_id),
            kind="cart_abandoned",
            tenant_id=check.tenant_id,
            created_at=as_utc(check.since + self._after),
            user_id=check.user_id,
            correlation_id=check.correlation_id,
            evidence={"cartEventId": check.cart_event_id, "since": as_utc(check.since)},
        )

    def _partitions(self, check: CartCheck) -> Iterator[str]:
        """Partition keys that a purchase in time can have: those of the months that the time touches."""
        month = check.since.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        while month <= check.since + self._after:
            key = f"{check.tenant_id}:{month:%Y-%m}"
            if self._buckets == 1:
                yield key
            else:
                yield from (f"{key}:{bucket}" for bucket in range(self._buckets))
            month = (month + timedelta(days=32)).replace(day=1)
