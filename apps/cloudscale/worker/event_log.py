"""What a worker says of single events in its log: which became dead letters, and which look like fraud.

Each line carries the event's ids and nothing of its content; the dead letter and the alert have the rest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from cloudscale.telemetry.logs import bind

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cloudscale.store.alerts import Alert
    from cloudscale.worker.decoding import Poison

log = structlog.get_logger(__name__)


def log_dead_letters(poison: Iterable[Poison]) -> None:
    """Say which events are on their way to the dead letters, and why."""
    for each in poison:
        event = each.event if isinstance(each.event, dict) else {}
        with bind(correlation_id=_text(event.get("correlationId")), event_id=_text(event.get("id"))):
            log.warning("dead letter", reason=str(each.reason), attempts=each.attempts)


def log_alerts(alerts: Iterable[Alert]) -> None:
    """Say what looks like fraud: once for each alert, however many events it is about."""
    for alert in alerts:
        with bind(correlation_id=alert.correlation_id, event_id=_text(alert.evidence.get("eventId"))):
            log.warning(
                "suspicious",
                rule=alert.kind,
                tenant_id=alert.tenant_id,
                client_address=alert.client_address,
                count=alert.evidence.get("count"),
                limit=alert.evidence.get("limit"),
            )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
