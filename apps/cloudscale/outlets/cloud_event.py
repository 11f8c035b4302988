"""A stored event as a CloudEvent 1.0, with which ingestion would make the same event again."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import msgspec

from cloudscale.events.cloudevents import BATCH, STRUCTURED, TYPE_PREFIX

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cloudscale.store.batches import Document

INTERNAL: Final = frozenset(
    {
        *("id", "partitionKey", "neighbourPartition", "ttl"),
        *("payloadHash", "acceptance", "acceptedIn", "acceptedUnnamed"),
        *("_rid", "_self", "_etag", "_attachments", "_ts", "_lsn"),
    }
)
"""What a stored event has for the pipeline and the store alone."""

TENANTS: Final = 1000
"""Whose part of ``source`` is remembered."""

_encode = msgspec.json.Encoder().encode


def source_of(pipeline: str) -> str:
    """The part of ``source`` that the events of a pipeline (``namespace/name``) share; the tenant follows."""
    return f"/cloudscale/{pipeline}/"


@lru_cache(maxsize=TENANTS)
def _quoted(tenant: str) -> str:
    return quote(tenant, safe="")


def cloud_event(event: Document, *, source: str) -> dict[str, Any]:
    """The envelope of a document of the change feed; ``source`` is that of :func:`source_of`."""
    tenant = event["tenantId"]
    envelope: dict[str, Any] = {
        "specversion": "1.0",
        "id": event["id"],
        "source": source + _quoted(tenant),
        "type": TYPE_PREFIX + event["eventType"],
        "time": event["createdAt"],
        "datacontenttype": "application/json",
        "tenantid": tenant,
    }
    if user := event.get("userId"):
        envelope["subject"] = user
    envelope["data"] = {name: value for name, value in event.items() if name not in INTERNAL}
    return envelope


def encoded(event: Document, *, source: str) -> bytes:
    """The same as JSON."""
    return _encode(cloud_event(event, source=source))


def message_id(outlet: str, events: Sequence[Document]) -> str:
    """``webhook-id`` of a request: the same whenever an outlet sends the same events together."""
    digest = hashlib.sha256(outlet.encode())
    for event in events:
        digest.update(f"\0{event['tenantId']}\0{event['id']}".encode())
    return f"msg_{digest.hexdigest()[:32]}"


def content(bodies: Sequence[bytes], *, is_batched: bool) -> tuple[str, bytes]:
    """Content type and body of a request with these encoded events: several only where it is batched."""
    if is_batched:
        return f"{BATCH}; charset=utf-8", b"[" + b",".join(bodies) + b"]"
    (body,) = bodies
    return f"{STRUCTURED}; charset=utf-8", body
