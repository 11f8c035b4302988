"""The sections of an AMQP message, cut and spliced as raw octets (OASIS AMQP 1.0, part 3.2).

A message is stored as its client sent it, split once: the entries of its message annotations, and everything behind
them (properties, application properties, body, footer), the *bare message*. On delivery the broker writes a new header
and new annotations before the bare message; a body is never decoded.
"""

from __future__ import annotations

import secrets
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cloudscale.emulators.servicebus.codec import (
    NULL,
    Buffer,
    CodecError,
    Described,
    Integer,
    UnsignedLong,
    decode,
    encode,
    encode_map,
    encode_symbol,
    encode_timestamp,
    encode_unsigned_integer,
)

if TYPE_CHECKING:
    import uuid
    from collections.abc import Iterator

BATCH_FORMAT = 0x80013700
"""Message format of a batch: each data section of the envelope is a whole message (a vendor's format, 2.8.11)."""

HEADER, DELIVERY_ANNOTATIONS, MESSAGE_ANNOTATIONS, PROPERTIES = 0x70, 0x71, 0x72, 0x73
APPLICATION_PROPERTIES, DATA, VALUE = 0x74, 0x75, 0x77

SEQUENCE_NUMBER = encode_symbol("x-opt-sequence-number") + b"\x81"
ENQUEUED_TIME = encode_symbol("x-opt-enqueued-time")
LOCKED_UNTIL = encode_symbol("x-opt-locked-until")
DEAD_LETTER_SOURCE = encode_symbol("x-opt-deadletter-source")
MESSAGE_STATE = encode_symbol("x-opt-message-state")
LOCK_TOKEN = encode_symbol("x-opt-lock-token")
SCHEDULED_ENQUEUE_TIME = "x-opt-scheduled-enqueue-time"

_U32, _I64 = struct.Struct(">I"), struct.Struct(">q")


@dataclass(frozen=True, slots=True)
class IncomingMessage:
    """What the broker has to know of a message a client sends. Times are milliseconds, ``payload`` see :func:`pack`."""

    payload: bytes
    time_to_live: int | None = None
    scheduled: int | None = None
    session_id: str | None = None
    message_id: str | None = None


@dataclass(frozen=True, slots=True)
class DeliveryState:
    """What the broker writes on a message it hands out. Times are milliseconds since the epoch."""

    sequence: int
    enqueued: int
    delivery_count: int
    time_to_live: int | None = None
    locked_until: int | None = None
    dead_letter_source: str | None = None
    state: int = 0
    lock_token: uuid.UUID | None = None


def sections(data: Buffer) -> Iterator[tuple[int, int, int]]:
    """Walk the sections of a message: the code, start and end of each.

    Raises:
        CodecError: the octets are not sections.
    """
    position, end = 0, len(data)
    while position < end:
        try:
            code, body = _descriptor(data, position)
            following = _end_of_section(data, body)
        except (IndexError, struct.error) as error:
            raise CodecError("a message ends in the middle of a section") from error
        if following > end:
            raise CodecError(f"a message of {end} octets holds a section that ends at octet {following}")
        yield code, position, following
        position = following


def _descriptor(data: Buffer, position: int) -> tuple[int, int]:
    if data[position] == 0 and data[position + 1] == 0x53:
        return data[position + 2], position + 3
    if data[position] == 0 and data[position + 1] == 0x80:
        return int.from_bytes(data[position + 2 : position + 10]), position + 10
    raise CodecError("a message section does not start with a numeric descriptor")


def _end_of_section(data: Buffer, body: int) -> int:
    constructor = data[body]
    if constructor in {0xC0, 0xC1, 0xA0, 0xA1, 0xA3}:
        return body + 2 + data[body + 1]
    if constructor in {0xD0, 0xD1, 0xB0, 0xB1, 0xB3}:
        return body + 5 + int(_U32.unpack_from(data, body + 1)[0])
    if constructor in {0x40, 0x45}:
        return body + 1
    _, following = decode(data, body)
    return following


def unbatch(data: bytes) -> list[bytes]:
    """Take the messages out of a batch's envelope, whose own header and properties only repeat the first one's."""
    messages = []
    for code, start, end in sections(data):
        if code == DATA:
            _, body = _descriptor(data, start)
            messages.append(data[body + (2 if data[body] == 0xA0 else 5) : end])
    return messages


def parse(data: bytes, *, with_identity: bool) -> IncomingMessage:
    """Read what the broker needs from a message.

    ``with_identity`` reads the properties section for the session and message ids, which only sessions and duplicate
    detection need.

    Raises:
        CodecError: the octets are no AMQP message.
    """
    time_to_live = scheduled = session_id = message_id = None
    count, annotations, bare_start = 0, b"", 0
    for code, start, end in sections(data):
        if code > MESSAGE_ANNOTATIONS:
            if code == PROPERTIES and with_identity:
                message_id, session_id = _identity(_section_value(data, start))
            break
        bare_start = end
        if code == HEADER:
            header = _section_value(data, start)
            time_to_live = header[2] if isinstance(header, list) and len(header) > 2 else None
        elif code == MESSAGE_ANNOTATIONS:
            count, annotations = _entries_of(data[start:end])
            given = _section_value(data, start)
            scheduled = given.get(SCHEDULED_ENQUEUE_TIME) if isinstance(given, dict) else None
    bare = _with_message_id(data[bare_start:])
    return IncomingMessage(pack(count, annotations, bare), time_to_live, scheduled, session_id, message_id)


def _with_message_id(bare: bytes) -> bytes:
    """Give a message the id it lacks, as the service does.

    The Node SDK settles no message without one, and the Go SDK reads the delivery count only from messages that have
    properties.
    """
    identifier = b"\xa1\x20" + secrets.token_hex(16).encode()
    entries, rest, count = identifier, bare, 1
    code, start, end = next(sections(bare), (VALUE, 0, 0))
    if code == PROPERTIES:
        count, raw = _entries_of(bare[start:end])
        rest = bare[end:]
        if raw and raw[0] != 0x40:
            return bare
        entries, count = identifier + raw[1:], max(count, 1)
    return b"\x00\x53\x73\xd0" + _U32.pack(len(entries) + 4) + _U32.pack(count) + entries + rest


def pack(count: int, annotations: bytes, bare: bytes) -> bytes:
    """Join annotation entries (``count`` keys and values) and the bare message into the form that is stored."""
    return _U32.pack(count) + _U32.pack(len(annotations)) + annotations + bare


def _unpack(payload: bytes) -> tuple[int, bytes, bytes]:
    count, length = int(_U32.unpack_from(payload)[0]), int(_U32.unpack_from(payload, 4)[0])
    return count, payload[8 : 8 + length], payload[8 + length :]


def for_delivery(payload: bytes, delivery: DeliveryState) -> bytes:
    """Write a stored message as the broker hands it out: header, annotations, bare message."""
    count, annotations, bare = _unpack(payload)
    entries = [SEQUENCE_NUMBER, _I64.pack(delivery.sequence), ENQUEUED_TIME, encode_timestamp(delivery.enqueued)]
    if delivery.locked_until is not None:
        entries += [LOCKED_UNTIL, encode_timestamp(delivery.locked_until)]
    if delivery.dead_letter_source is not None:
        entries += [DEAD_LETTER_SOURCE, encode(delivery.dead_letter_source)]
    if delivery.state:
        entries += [MESSAGE_STATE, encode(Integer(delivery.state))]
    # The first entry holds a key and the constructor of its value.
    own = b"".join(entries)
    total = count + len(entries)
    token = b""
    if delivery.lock_token is not None:
        token = _section(DELIVERY_ANNOTATIONS, 2, LOCK_TOKEN + encode(delivery.lock_token))
    time_to_live = NULL if delivery.time_to_live is None else encode_unsigned_integer(delivery.time_to_live)
    fields = b"\x40\x40" + time_to_live + b"\x40" + encode_unsigned_integer(delivery.delivery_count)
    header = b"\x00\x53\x70\xc0" + bytes((len(fields) + 1, 5)) + fields
    return b"".join((header, token, _section(MESSAGE_ANNOTATIONS, total, annotations + own), bare))


def with_application_properties(payload: bytes, properties: dict[str, Any]) -> bytes:
    """Set application properties of a stored message; its other sections keep their octets."""
    if not properties:
        return payload
    count, annotations, bare = _unpack(payload)
    place = 0
    for code, start, end in sections(bare):
        if code < APPLICATION_PROPERTIES:
            place = end
        elif code == APPLICATION_PROPERTIES:
            return pack(count, annotations, bare[:start] + _merge(bare[start:end], properties) + bare[end:])
        else:
            break
    section = _section(APPLICATION_PROPERTIES, 2 * len(properties), _entries(properties))
    return pack(count, annotations, bare[:place] + section + bare[place:])


def _merge(section: bytes, properties: dict[str, Any]) -> bytes:
    """Splice properties into a section; only a key that is there already makes it decode the values."""
    existing = _section_value(section, 0)
    if isinstance(existing, dict) and any(key in existing for key in properties):
        merged = existing | properties
        return _section(APPLICATION_PROPERTIES, 2 * len(merged), _entries(merged))
    count, raw = _entries_of(section)
    return _section(APPLICATION_PROPERTIES, count + 2 * len(properties), raw + _entries(properties))


def _entries(properties: dict[Any, Any]) -> bytes:
    return b"".join(encode(key) + encode(value) for key, value in properties.items())


def _section(code: int, count: int, entries: bytes) -> bytes:
    return bytes((0, 0x53, code, 0xD1)) + _U32.pack(len(entries) + 4) + _U32.pack(count) + entries


def _entries_of(section: bytes) -> tuple[int, bytes]:
    """The number of elements in a section that is a map or a list, and their octets."""
    _, body = _descriptor(section, 0)
    constructor = section[body]
    if constructor in {0xC0, 0xC1}:
        return section[body + 2], section[body + 3 :]
    if constructor in {0xD0, 0xD1}:
        return int(_U32.unpack_from(section, body + 5)[0]), section[body + 9 :]
    if constructor in {0x40, 0x45}:
        return 0, b""
    raise CodecError("a section that has to be a map or a list is neither")


def _section_value(data: Buffer, start: int) -> Any:
    value, _ = decode(data, start)
    return value.value if isinstance(value, Described) else value


def _identity(properties: Any) -> tuple[str | None, str | None]:
    """The message id (as text, whatever its type) and the group id, which is Service Bus's session id."""
    if not isinstance(properties, list):
        return None, None
    message_id = properties[0] if properties else None
    session_id = properties[10] if len(properties) > 10 else None
    return None if message_id is None else str(message_id), session_id


@dataclass(frozen=True, slots=True)
class Request:
    """A request to ``$cbs`` or ``$management``: message id, application properties and value."""

    message_id: Any
    properties: dict[str, Any]
    value: Any


def parse_request(data: bytes) -> Request:
    """Decode a request whole; requests are small.

    Raises:
        CodecError: the octets are no AMQP message.
    """
    message_id: Any = None
    properties: dict[str, Any] = {}
    value: Any = None
    for code, start, _ in sections(data):
        if code == PROPERTIES:
            fields = _section_value(data, start)
            message_id = fields[0] if isinstance(fields, list) and fields else None
        elif code == APPLICATION_PROPERTIES:
            properties = _section_value(data, start) or {}
        elif code == VALUE:
            value = _section_value(data, start)
    return Request(message_id, properties, value)


def response(correlation_id: Any, properties: dict[str, Any], value: Any) -> bytes:
    """Encode the answer to a request.

    The correlation id has the type of the request's message id (a string or a uuid): clients compare the two as they
    are.
    """
    identifier = UnsignedLong(correlation_id) if isinstance(correlation_id, int) else correlation_id
    parts = [NULL] * 5 + [encode(identifier)]
    body = b"".join(parts)
    return b"".join(
        (
            b"\x00\x53\x73\xc0" + bytes((len(body) + 1, 6)) + body,
            b"\x00\x53\x74" + encode_map([encode(part) for item in properties.items() for part in item]),
            b"\x00\x53\x77" + encode(value),
        )
    )
