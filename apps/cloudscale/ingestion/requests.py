"""Turns the parts of an HTTP request into checked, enriched events, or into the problem that it has."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from secrets import token_hex
from typing import TYPE_CHECKING

import msgspec

from cloudscale.access.caller import Caller
from cloudscale.events import cloudevents
from cloudscale.events.checking import (
    MAXIMUM_EVENT_BYTES,
    FieldError,
    InvalidEventError,
)
from cloudscale.events.cloudevents import derive_id
from cloudscale.events.enrichment import Enriched, Origin, enrich
from cloudscale.events.json_text import BYTE_ORDER_MARK, decode, split_array
from cloudscale.events.wrong_values import kind_of
from cloudscale.ingestion.content import JSON, NDJSON, media_type_of
from cloudscale.ingestion.ownership import claim, end_users_address
from cloudscale.ingestion.problems import Kind, Problem, Refused, invalid, refuse
from cloudscale.limits.rates import Sender

if TYPE_CHECKING:
    from cloudscale.events.types import EventTypes

MAXIMUM_BATCH_BYTES = 5 * 1024 * 1024
MAXIMUM_BATCH_EVENTS = 1000
MAXIMUM_KEY_CHARACTERS = 255

LARGEST_ENRICHED_BYTES = 2 * MAXIMUM_EVENT_BYTES
"""What an event may have once it is enriched, so that it fits into a message of the Standard tier. The half that is to
spare is for what the pipeline adds, headers of a CloudEvent, and numbers that are written longer than they came."""

_TOKEN = re.compile(r"[A-Za-z0-9._:@/+=-]{1,128}")
_KEY = re.compile(r"[\x21-\x7e]+")
# RFC 8941, section 3.3.3, to which draft-ietf-httpapi-idempotency-key-header refers.
_QUOTED_KEY = re.compile(r'"((?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"')
_ESCAPED = re.compile(r"\\(.)")
_TRACEPARENT = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


class Request(msgspec.Struct, frozen=True, gc=False):
    """What the server knows of one request before its body is looked at. Header names are in lower case."""

    path: str
    header: Callable[[str], str | None]
    """The first value of a header; None if there is none, or one that is not ASCII."""
    has: Callable[[str], bool]
    headers: Callable[[], Iterable[tuple[str, str]]]
    """All lines of headers, but for those that are not ASCII."""
    names: Callable[[], Iterable[str]]
    """The names of all headers, each once."""
    address: str
    """The client's."""
    client: str
    """The address, or its network: whom refusals and memory are counted for."""
    arrived_at: float
    """On ``time.perf_counter``."""
    sender: Sender
    """Whom limits count the request for."""
    caller: Caller | None = None
    """Who sends, as a key or token proves it; None where anybody may send."""


def correlation_id_of(request: Request) -> str:
    """The request's ``X-Correlation-Id``, or a new one.

    Raises:
        Refused: the header is not a plain token.
    """
    given = request.header("x-correlation-id")
    if given is None and not request.has("x-correlation-id"):
        return token_hex(16)
    if given is None or not _TOKEN.fullmatch(given):
        raise refuse(
            Kind.INVALID,
            "X-Correlation-Id must be 1 to 128 letters, digits or characters of ._:@/+=-",
            "header",
            FieldError("X-Correlation-Id", "is not a plain token"),
        )
    return given


def origin_of(request: Request, correlation_id: str) -> Origin:
    """Where the request's events come from.

    Raises:
        Refused: the ``Idempotency-Key`` cannot be used.
    """
    key = _idempotency_key_of(request) if request.has("idempotency-key") else None
    traceparent = request.header("traceparent")
    if traceparent is not None and not _TRACEPARENT.fullmatch(traceparent):
        # W3C Trace Context, section 3.2.2: what cannot be parsed is ignored.
        traceparent = None
    return Origin(request.address, correlation_id, datetime.now(UTC), key, traceparent)


def _idempotency_key_of(request: Request) -> str:
    """The key of ``"k1"``, a string of structured fields as its draft has it, or of ``k1``, as many send it."""
    given = [value for name, value in request.headers() if name == "idempotency-key"]
    if len(given) == 1:
        quoted = _QUOTED_KEY.fullmatch(given[0])
        key = _ESCAPED.sub(r"\1", quoted[1]) if quoted is not None else given[0]
        if 1 <= len(key) <= MAXIMUM_KEY_CHARACTERS and (quoted is not None or _KEY.fullmatch(key)):
            return key
    wrong = "stands there twice" if len(given) > 1 else "is not usable as a key"
    raise refuse(
        Kind.INVALID,
        f"Idempotency-Key must be one key of 1 to {MAXIMUM_KEY_CHARACTERS} visible ASCII characters, or such a string "
        "in quotes",
        "header",
        FieldError("Idempotency-Key", wrong),
    )


def parse_event(request: Request, content: bytes, *, origin: Origin, types: EventTypes, buckets: int) -> Enriched:
    """The one event of a ``POST /api/events``.

    Raises:
        Refused: it cannot be accepted.
    """
    media_type = media_type_of(request)
    event: object = None
    try:
        if media_type == JSON:
            event = decode(content.removeprefix(BYTE_ORDER_MARK))
            if request.header("ce-specversion") is not None:
                event = cloudevents.from_binary(request.headers(), event, names=request.names())
                origin = msgspec.structs.replace(origin, source_id=cloudevents.source_id(event))
        elif media_type == cloudevents.STRUCTURED:
            event = cloudevents.from_structured(decode(content.removeprefix(BYTE_ORDER_MARK)))
            origin = msgspec.structs.replace(origin, source_id=cloudevents.source_id(event))
        else:
            raise refuse(
                Kind.UNSUPPORTED,
                f"{media_type[:64]!r} is not understood: send {JSON} or {cloudevents.STRUCTURED}",
                "content-type",
            )
        return _check(event, content, origin=origin, caller=request.caller, types=types, buckets=buckets)
    except InvalidEventError as error:
        raise Refused(invalid(error, event, content)) from None


def parse_batch(
    request: Request, content: bytes, *, origin: Origin, types: EventTypes, buckets: int
) -> list[Enriched | Problem]:
    """The events of a ``POST …/batch``, each checked by itself.

    Raises:
        Refused: the batch as a whole cannot be read.
    """
    media_type = media_type_of(request)
    content = content.removeprefix(BYTE_ORDER_MARK)
    if media_type in NDJSON:
        parts = [line for line in content.split(b"\n") if line.strip()]
    elif media_type in (JSON, cloudevents.BATCH):
        try:
            parts = split_array(content)
        except InvalidEventError as error:
            raise Refused(invalid(error, None, content)) from None
    else:
        supported = ", ".join((JSON, NDJSON[0], cloudevents.BATCH))
        raise refuse(
            Kind.UNSUPPORTED, f"{media_type[:64]!r} is not understood: send one of {supported}", "content-type"
        )
    # A batch of no CloudEvents is one (JSON Event Format 1.0.2, section 4).
    if not parts and media_type != cloudevents.BATCH:
        raise refuse(Kind.INVALID, "the batch is empty", "validation")
    if len(parts) > MAXIMUM_BATCH_EVENTS:
        raise refuse(
            Kind.TOO_LARGE, f"a batch has at most {MAXIMUM_BATCH_EVENTS} events, this one has {len(parts)}", "too-large"
        )
    structured = media_type == cloudevents.BATCH
    origin = msgspec.structs.replace(origin, batch=token_hex(8))
    return [
        _parse_part(
            part,
            origin=_origin_of_part(origin, index),
            caller=request.caller,
            types=types,
            buckets=buckets,
            structured=structured,
        )
        for index, part in enumerate(parts)
    ]


def _origin_of_part(origin: Origin, index: int) -> Origin:
    """A batch's key names each event by its place."""
    if origin.idempotency_key is None:
        return origin
    return msgspec.structs.replace(origin, idempotency_key=derive_id(origin.idempotency_key, str(index)))


def _parse_part(
    part: bytes, *, origin: Origin, caller: Caller | None, types: EventTypes, buckets: int, structured: bool
) -> Enriched | Problem:
    if len(part) > MAXIMUM_EVENT_BYTES:
        return _too_large_event()
    event: object = None
    try:
        event = decode(part)
        if structured:
            event = cloudevents.from_structured(event)
            origin = msgspec.structs.replace(origin, source_id=cloudevents.source_id(event))
        return _check(event, part, origin=origin, caller=caller, types=types, buckets=buckets)
    except InvalidEventError as error:
        return invalid(error, event, part)
    except Refused as refused:
        return refused.problem


def _check(
    event: object, content: bytes, *, origin: Origin, caller: Caller | None, types: EventTypes, buckets: int
) -> Enriched:
    if not isinstance(event, dict):
        raise InvalidEventError(FieldError("", f"must be an object with the event's fields, not {kind_of(event)}"))
    if caller is not None:
        claim(event, caller, content)
        if caller.is_server:
            origin = msgspec.structs.replace(origin, client_address=end_users_address(event, caller, content))
    enriched = enrich(event, types.check_sent(event), origin, buckets=buckets)
    if len(enriched.body) > LARGEST_ENRICHED_BYTES:
        raise Refused(_too_large_event())
    return enriched


def _too_large_event() -> Problem:
    return Problem(Kind.TOO_LARGE, f"the event has more than {MAXIMUM_EVENT_BYTES} bytes", "too-large")
