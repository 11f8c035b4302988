"""What the reading API answers with."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec


class StoredEvent(msgspec.Struct, rename="camel", kw_only=True, omit_defaults=True):
    """An event as it is stored: what its sender sent, all fields of its type among it, and what the pipeline added."""

    event_id: str
    event_type: str
    tenant_id: str
    created_at: str
    """When it happened, by its sender; RFC 3339 in UTC."""
    received_at: str
    correlation_id: str
    user_id: str | msgspec.UnsetType = msgspec.UNSET
    processed_at: str | msgspec.UnsetType = msgspec.UNSET
    client_address: str | msgspec.UnsetType = msgspec.UNSET
    suspicious: bool | msgspec.UnsetType = msgspec.UNSET
    fraud: Any = msgspec.UNSET
    """What the fraud rules found, where they found something."""
    schema_version: int = 1
    metadata: dict[str, Any] = {}


class EventPage(msgspec.Struct, frozen=True):
    """A page of events. ``next`` is the cursor of the page that follows, null when there is none.

    A page may have fewer events than were asked for, and still others may follow.
    """

    events: list[dict[str, Any]]
    next: str | None


class Device(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """A registered device, and what is known of it from the events of its key. Times are RFC 3339 in UTC."""

    id: str
    tenant_id: str
    type: str | None
    model: str | None
    metadata: dict[str, Any]
    created_at: datetime
    """When it was registered."""
    first_seen: datetime | None
    last_seen: datetime | None
    """When its last event was received; null when it has not sent for 90 days."""
    skew_seconds: float | None
    """What its clock is behind that of the pipeline, negative when it is ahead."""
    difference_seconds: float | None
    """receivedAt less createdAt of one of its last events: the skew, and how late it came."""


class DeviceWithKeys(Device, frozen=True, kw_only=True):
    """A device with the ids of its keys, those that do not hold any more among them."""

    key_ids: list[str]


class DevicePage(msgspec.Struct, frozen=True):
    """A page of devices in the order of their ids. ``next`` is the cursor of the page that follows, null at the end.

    A page may have fewer devices than were asked for, and still others may follow.
    """

    devices: list[Device]
    next: str | None


class EventWithDevice(msgspec.Struct, frozen=True):
    """An event and the registered device that its ``deviceId`` names; null when there is none."""

    event: dict[str, Any]
    device: Device | None


class User(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """What is known of a user, summed up over the events that are stored."""

    tenant_id: str
    user_id: str
    score: int
    events: int
    counts: dict[str, int]
    """Events by type."""
    purchases: dict[str, float]
    """Sums by currency."""
    first_seen: str
    last_seen: str
