"""Enrichment: what the pipeline adds to a valid event before it is queued, and the place it will be stored at."""

from __future__ import annotations

import hashlib
import zlib
from datetime import UTC, datetime, timedelta
from secrets import token_hex
from typing import TYPE_CHECKING

import msgspec

from cloudscale.cache.records import acceptance_field
from cloudscale.events.checking import Document
from cloudscale.events.cloudevents import derive_id
from cloudscale.events.timestamps import as_utc

if TYPE_CHECKING:
    from cloudscale.events.checking import Common


MONTH_EDGE = timedelta(days=1)
"""How far from a month's end an event may be received for its other attempt to be looked for in the month beside."""


class Origin(msgspec.Struct, frozen=True, gc=False):
    """Where an event came from: the request around it.

    ``source_id`` is :func:`cloudscale.events.cloudevents.source_id` of a CloudEvent, ``batch`` a name of the batch that
    the event came in.
    """

    client_address: str
    correlation_id: str
    received_at: datetime
    idempotency_key: str | None = None
    traceparent: str | None = None
    source_id: str | None = None
    batch: str | None = None


class Enriched(msgspec.Struct, frozen=True, gc=False):
    """An event as it will be queued and stored, with what idempotency needs to know of it.

    ``names`` is every name that a client may use for the event, each in a name space of its own in its tenant.
    ``field`` is its acceptance in the ledger. ``is_named`` is false when the ledger may have no such field, since Redis
    was away.
    """

    document: Document
    body: bytes
    event_type: str
    tenant_id: str
    event_id: str
    correlation_id: str
    names: tuple[str, ...]
    payload_hash: str
    field: str
    is_named: bool = True

    @property
    def received_hour(self) -> str:
        """The hour of receipt as ``yyyy-MM-ddTHH``, by which the ledger counts."""
        received_at: str = self.document["receivedAt"]
        return received_at[:13]

    def unnamed(self) -> Enriched:
        """The same event, marked for the worker as one whose end it must count although the ledger does not name it."""
        document = {**self.document, "acceptedUnnamed": True}
        return msgspec.structs.replace(self, document=document, body=_encode(document), is_named=False)


def payload_hash(event: Document) -> str:
    """A digest of what the client sent, the same for any formatting or order of keys (BLAKE2b, 128 bits)."""
    return hashlib.blake2b(_encode_sorted(event), digest_size=16).hexdigest()


def partition_key(tenant_id: str, created_at: str, *, event_id: str, buckets: int) -> str:
    """The logical partition of an event: its tenant and its own time's month, and a bucket if there are any.

    ``created_at`` is RFC 3339 in UTC.
    """
    key = f"{tenant_id}:{created_at[:7]}"
    return key if buckets == 1 else f"{key}:{zlib.crc32(event_id.encode()) % buckets}"


def enrich(event: Document, common: Common, origin: Origin, *, buckets: int = 1) -> Enriched:
    """Add to a checked event what the pipeline knows of it.

    The event's id is the client's own, or derived from its idempotency key, so that a retry has the same id and the
    store can drop it; otherwise it is random. An event that the client may send again without saying when it happened
    carries ``neighbourPartition`` on the days beside a month's end: the partition that its other attempt may be in.
    """
    digest = payload_hash(event)
    tenant_id = common.tenant_id
    event_id = common.event_id
    if event_id is None:
        event_id = derive_id(tenant_id, origin.idempotency_key) if origin.idempotency_key else token_hex(16)
    received = as_utc(origin.received_at)
    created_at = received if common.created_at is None else as_utc(common.created_at)
    acceptance = token_hex(8)
    correlation_id = common.correlation_id or origin.correlation_id
    document = {
        **event,
        "id": event_id,
        "partitionKey": partition_key(tenant_id, created_at, event_id=event_id, buckets=buckets),
        "eventId": event_id,
        "correlationId": correlation_id,
        "createdAt": created_at,
        "receivedAt": received,
        "clientAddress": origin.client_address,
        "payloadHash": digest,
        "schemaVersion": common.schema_version,
        "metadata": common.metadata,
        "acceptance": acceptance,
    }
    if origin.batch is not None:
        document["acceptedIn"] = origin.batch
    if origin.traceparent is not None:
        document["traceparent"] = origin.traceparent
    if common.created_at is None and (common.event_id is not None or origin.idempotency_key is not None):
        other_month = _neighbouring_month(origin.received_at)
        if other_month is not None:
            neighbour = partition_key(tenant_id, as_utc(other_month), event_id=event_id, buckets=buckets)
            document["neighbourPartition"] = neighbour
    return Enriched(
        document,
        _encode(document),
        common.event_type,
        tenant_id,
        event_id,
        correlation_id,
        _names(tenant_id, event_id, origin),
        digest,
        acceptance_field(tenant_id, event_id, acceptance),
    )


def _names(tenant_id: str, event_id: str, origin: Origin) -> tuple[str, ...]:
    # A tenant id has no colon, so a name can be taken for no other tenant's and no other kind's.
    names = [f"{tenant_id}:e:{event_id}"]
    if origin.idempotency_key is not None:
        names.append(f"{tenant_id}:k:{origin.idempotency_key}")
    if origin.source_id is not None:
        names.append(f"{tenant_id}:s:{origin.source_id}")
    return tuple(names)


def _neighbouring_month(received_at: datetime) -> datetime | None:
    """A moment in the month that is less than :data:`MONTH_EDGE` away; None if there is none."""
    moment = received_at.astimezone(UTC)
    if 1 < moment.day < 28:
        return None
    for other in (moment - MONTH_EDGE, moment + MONTH_EDGE):
        if other.month != moment.month:
            return other
    return None


_encode = msgspec.json.Encoder().encode
_encode_sorted = msgspec.json.Encoder(order="deterministic").encode
