"""What a request asks of a tenant's devices: the parameters of ``GET /api/v1/devices``, checked.

As that of events, a cursor allows nothing and belongs to one tenant and question; it names the last device of the page
before.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import structs

from cloudscale.access.device_view import DeviceFilter
from cloudscale.dashboard.reading.cursors import MOST_CHARACTERS
from cloudscale.dashboard.reading.opaque_text import read_opaque, write_opaque
from cloudscale.dashboard.reading.parameters import SHORT, Parameters
from cloudscale.events.checking import EventId, ShortText

if TYPE_CHECKING:
    from starlette.datastructures import QueryParams

MOST_DEVICES: Final = 200
USUAL_DEVICES: Final = 50
PARAMETERS: Final = ("type", "model", "seenAfter", "seenBefore", "limit", "cursor")


class _Content(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    question: bytes
    device_id: EventId


_decoder: Final = msgspec.msgpack.Decoder(_Content)


class DeviceQuestion(msgspec.Struct, frozen=True, kw_only=True):
    """Which devices are asked for, and where the page begins."""

    tenant_id: str
    which: DeviceFilter
    after: str
    """The position of the last device of the page before; empty on the first page."""
    limit: int

    def cursor(self, following: str | None) -> str | None:
        """The cursor of the page that goes on behind a position."""
        if following is None:
            return None
        content = _Content(_digest(self.tenant_id, self.which), following.partition(":")[2])
        return write_opaque(msgspec.msgpack.encode(content))


def read_device_question(given: QueryParams, tenant_id: str) -> DeviceQuestion:
    """What a query string asks of a tenant's devices.

    Raises:
        RefusedReadingError: some parameters are wrong; all of them are named.
    """
    parameters = Parameters(given, PARAMETERS)
    which = DeviceFilter(
        type=parameters.text("type", ShortText, SHORT),
        model=parameters.text("model", ShortText, SHORT),
        seen_since=parameters.moment("seenAfter"),
        silent_since=parameters.moment("seenBefore"),
    )
    if which.seen_since is not None and which.silent_since is not None and which.seen_since >= which.silent_since:
        parameters.refuse("seenBefore", "must be after seenAfter")
    limit = parameters.number("limit", usual=USUAL_DEVICES, most=MOST_DEVICES)
    after = ""
    if (cursor := parameters.get("cursor")) is not None:
        content = _read(cursor)
        if content is None:
            parameters.refuse("cursor", "is none: give what the page before has as next, unchanged")
        elif content.question != _digest(tenant_id, which):
            parameters.refuse("cursor", "belongs to another question: repeat the parameters, or begin anew")
        else:
            after = f"{tenant_id}:{content.device_id}"
    parameters.check()
    return DeviceQuestion(tenant_id=tenant_id, which=which, after=after, limit=limit)


def _read(text: str) -> _Content | None:
    try:
        return _decoder.decode(read_opaque(text, most_characters=MOST_CHARACTERS))
    except (ValueError, msgspec.MsgspecError):
        return None


def _digest(tenant_id: str, which: DeviceFilter) -> bytes:
    question = msgspec.msgpack.encode(["devices", tenant_id, *structs.astuple(which)])
    return hashlib.blake2b(question, digest_size=12).digest()
