"""Where the next page of events goes on, as an opaque text that belongs to one tenant and one question.

A cursor allows nothing: whose events are read follows from the key or token alone, and a cursor of another tenant or
question is refused. So it needs no signature; one that somebody makes up is at the most another place in events that he
may read anyway.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import structs

from cloudscale.dashboard.reading.opaque_text import read_opaque, write_opaque
from cloudscale.errors import CloudScaleError
from cloudscale.events.checking import EventId
from cloudscale.events.timestamps import as_utc, parse_moment
from cloudscale.store.creation_order import Place

if TYPE_CHECKING:
    from datetime import datetime

    from cloudscale.store.creation_order import CreationFilter

MOST_CHARACTERS: Final = 2048
_TIME: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z")


class WrongCursorError(CloudScaleError):
    """A text is no cursor, or one of another question."""


class _Content(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    question: bytes
    created_at: str
    event_id: EventId | None
    until: str | None


_decoder: Final = msgspec.msgpack.Decoder(_Content)


def write_cursor(tenant_id: str, which: CreationFilter, place: Place, *, until: datetime | None) -> str:
    """The cursor of the page that goes on at ``place``.

    Args:
        tenant_id: whose events they are.
        which: what was asked for, as it was asked.
        place: where the next page begins.
        until: the end of the range where it was not asked for, so that all pages have the same.
    """
    content = _Content(
        _digest(tenant_id, which), place.created_at, place.event_id, None if until is None else as_utc(until)
    )
    return write_opaque(msgspec.msgpack.encode(content))


def read_cursor(text: str, tenant_id: str, which: CreationFilter) -> tuple[Place, datetime | None]:
    """The place that a cursor names, and the end of the range that :func:`write_cursor` was given.

    Raises:
        WrongCursorError: it is none, or belongs to another question or tenant.
    """
    try:
        content = _decoder.decode(read_opaque(text, most_characters=MOST_CHARACTERS))
        until = None if content.until is None else _time(content.until)
        _time(content.created_at)
    except (ValueError, msgspec.MsgspecError):
        raise WrongCursorError("is none: give what the page before has as next, unchanged") from None
    if content.question != _digest(tenant_id, which):
        raise WrongCursorError("belongs to another question: repeat the parameters of the first page, or begin anew")
    return Place(content.created_at, content.event_id), until


def _digest(tenant_id: str, which: CreationFilter) -> bytes:
    question = msgspec.msgpack.encode([tenant_id, *structs.astuple(which)])
    return hashlib.blake2b(question, digest_size=12).digest()


def _time(text: str) -> datetime:
    moment = parse_moment(text) if _TIME.fullmatch(text) else None
    if moment is None:
        raise ValueError(text)
    return moment
