"""The frames of AMQP 1.0: performatives of the transport and of SASL (OASIS AMQP 1.0, part 2.7 and part 5.3.3).

Each performative is a described list. Fields at the end of a list may be left out, and so may the whole list
(``list0``); :meth:`Performative.from_fields` fills them with their defaults. Names of fields are the specification's.
Transfers and settlements, the hot path, are packed by hand in ``frames``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from cloudscale.emulators.servicebus.codec import (
    NULL,
    Buffer,
    CodecError,
    Described,
    UnsignedLong,
    decode,
    encode,
    encode_binary,
    encode_boolean,
    encode_described,
    encode_list,
    encode_string,
    encode_symbol,
    encode_unsigned_integer,
)

Encoder = Callable[[Any], bytes]


def _unsigned_byte(value: int) -> bytes:
    return bytes((0x50, value))


def _unsigned_short(value: int) -> bytes:
    return b"\x60" + value.to_bytes(2)


def _symbols(values: tuple[str, ...]) -> bytes:
    body = b"".join(bytes((len(value),)) + value.encode("ascii") for value in values)
    return b"\xe0" + bytes((len(body) + 2, len(values), 0xA3)) + body


def _names(kind: Any) -> tuple[str, ...]:
    """The names of a dataclass's fields in order, which it keeps for pattern matching."""
    names: tuple[str, ...] = kind.__match_args__
    return names


@dataclass(frozen=True, slots=True)
class Performative:
    """Base of the performatives: fields in the order of the specification, each with its encoder."""

    code: ClassVar[int]
    wire: ClassVar[tuple[Encoder, ...]]

    @classmethod
    def from_fields(cls, fields: list[Any]) -> Self:
        """Build a performative from a decoded list; absent and null fields take their defaults."""
        given = {name: value for name, value in zip(_names(cls), fields, strict=False) if value is not None}
        try:
            return cls(**given)
        except TypeError as error:
            raise CodecError(f"a {cls.__name__} frame lacks a mandatory field: {error}") from error

    def encode(self) -> bytes:
        """Encode the performative as the body of a frame.

        Fields at the end are not left out although they might be: azure-servicebus indexes them.
        """
        parts = []
        for name, encoder in zip(_names(type(self)), self.wire, strict=True):
            value = getattr(self, name)
            parts.append(NULL if value is None else encoder(value))
        return encode_described(self.code, encode_list(parts))


@dataclass(frozen=True, slots=True)
class ErrorDetail(Performative):
    """An ``error`` (2.8.14)."""

    code: ClassVar[int] = 0x1D
    wire: ClassVar[tuple[Encoder, ...]] = (
        encode_symbol,
        encode_string,
        encode,
    )
    condition: str = "amqp:internal-error"
    description: str | None = None
    info: dict[Any, Any] | None = None


def _error(value: ErrorDetail) -> bytes:
    return value.encode()


@dataclass(frozen=True, slots=True)
class Open(Performative):
    """``open`` (2.7.1)."""

    code: ClassVar[int] = 0x10
    wire: ClassVar[tuple[Encoder, ...]] = (
        encode_string,
        encode_string,
        encode_unsigned_integer,
        _unsigned_short,
        encode_unsigned_integer,
    )
    container_id: str = ""
    hostname: str | None = None
    max_frame_size: int = 0xFFFFFFFF
    channel_max: int = 0xFFFF
    idle_time_out: int | None = None


@dataclass(frozen=True, slots=True)
class Begin(Performative):
    """``begin`` (2.7.2)."""

    code: ClassVar[int] = 0x11
    wire: ClassVar[tuple[Encoder, ...]] = (
        _unsigned_short,
        encode_unsigned_integer,
        encode_unsigned_integer,
        encode_unsigned_integer,
        encode_unsigned_integer,
    )
    remote_channel: int | None = None
    next_outgoing_id: int = 0
    incoming_window: int = 0
    outgoing_window: int = 0
    handle_max: int = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Attach(Performative):
    """``attach`` (2.7.3). ``role`` is true for the receiving end; source and target stay as decoded."""

    code: ClassVar[int] = 0x12
    wire: ClassVar[tuple[Encoder, ...]] = (
        encode_string,
        encode_unsigned_integer,
        encode_boolean,
        _unsigned_byte,
        _unsigned_byte,
        encode,
        encode,
        encode,
        encode_boolean,
        encode_unsigned_integer,
        encode,
        encode,
        encode,
        encode,
    )
    name: str = ""
    handle: int = 0
    role: bool = False
    snd_settle_mode: int = 2
    rcv_settle_mode: int = 0
    source: Described | None = None
    target: Described | None = None
    unsettled: dict[Any, Any] | None = None
    incomplete_unsettled: bool | None = None
    initial_delivery_count: int | None = None
    max_message_size: int | None = None
    offered_capabilities: Any = None
    desired_capabilities: Any = None
    properties: dict[Any, Any] | None = None


@dataclass(frozen=True, slots=True)
class Flow(Performative):
    """``flow`` (2.7.4)."""

    code: ClassVar[int] = 0x13
    wire: ClassVar[tuple[Encoder, ...]] = (
        encode_unsigned_integer,
        encode_unsigned_integer,
        encode_unsigned_integer,
        encode_unsigned_integer,
        encode_unsigned_integer,
        encode_unsigned_integer,
        encode_unsigned_integer,
        encode_unsigned_integer,
        encode_boolean,
        encode_boolean,
    )
    next_incoming_id: int | None = None
    incoming_window: int = 0
    next_outgoing_id: int = 0
    outgoing_window: int = 0
    handle: int | None = None
    delivery_count: int | None = None
    link_credit: int | None = None
    available: int | None = None
    drain: bool = False
    echo: bool = False


@dataclass(frozen=True, slots=True)
class Transfer(Performative):
    """``transfer`` (2.7.5), without its payload."""

    code: ClassVar[int] = 0x14
    wire: ClassVar[tuple[Encoder, ...]] = (
        encode_unsigned_integer,
        encode_unsigned_integer,
        encode_binary,
        encode_unsigned_integer,
        encode_boolean,
        encode_boolean,
        _unsigned_byte,
        encode,
        encode_boolean,
        encode_boolean,
        encode_boolean,
    )
    handle: int = 0
    delivery_id: int | None = None
    delivery_tag: bytes | None = None
    message_format: int | None = None
    settled: bool | None = None
    more: bool = False
    rcv_settle_mode: int | None = None
    state: Described | None = None
    resume: bool = False
    aborted: bool = False
    batchable: bool = False


@dataclass(frozen=True, slots=True)
class Disposition(Performative):
    """``disposition`` (2.7.6). ``role`` is true when the receiver of the deliveries sends it."""

    code: ClassVar[int] = 0x15
    wire: ClassVar[tuple[Encoder, ...]] = (
        encode_boolean,
        encode_unsigned_integer,
        encode_unsigned_integer,
        encode_boolean,
        encode,
    )
    role: bool = False
    first: int = 0
    last: int | None = None
    settled: bool = False
    state: Described | None = None


@dataclass(frozen=True, slots=True)
class Detach(Performative):
    """``detach`` (2.7.7)."""

    code: ClassVar[int] = 0x16
    wire: ClassVar[tuple[Encoder, ...]] = (
        encode_unsigned_integer,
        encode_boolean,
        _error,
    )
    handle: int = 0
    closed: bool = False
    error: ErrorDetail | None = None


@dataclass(frozen=True, slots=True)
class End(Performative):
    """``end`` (2.7.8)."""

    code: ClassVar[int] = 0x17
    wire: ClassVar[tuple[Encoder, ...]] = (_error,)
    error: ErrorDetail | None = None


@dataclass(frozen=True, slots=True)
class Close(Performative):
    """``close`` (2.7.9)."""

    code: ClassVar[int] = 0x18
    wire: ClassVar[tuple[Encoder, ...]] = (_error,)
    error: ErrorDetail | None = None


@dataclass(frozen=True, slots=True)
class SaslMechanisms(Performative):
    """``sasl-mechanisms`` (5.3.3.1)."""

    code: ClassVar[int] = 0x40
    wire: ClassVar[tuple[Encoder, ...]] = (_symbols,)
    mechanisms: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SaslInitialise(Performative):
    """``sasl-init`` (5.3.3.2)."""

    code: ClassVar[int] = 0x41
    wire: ClassVar[tuple[Encoder, ...]] = (
        encode_symbol,
        encode_binary,
        encode_string,
    )
    mechanism: str = ""
    initial_response: bytes | None = None
    hostname: str | None = None


@dataclass(frozen=True, slots=True)
class SaslOutcome(Performative):
    """``sasl-outcome`` (5.3.3.6): 0 is success, 1 a refused credential."""

    code: ClassVar[int] = 0x44
    wire: ClassVar[tuple[Encoder, ...]] = (_unsigned_byte,)
    result: int = 0


BY_CODE: dict[int, type[Performative]] = {
    kind.code: kind for kind in (Open, Begin, Attach, Flow, Transfer, Disposition, Detach, End, Close, SaslInitialise)
}


def decode_performative(body: Buffer) -> tuple[Performative, int]:
    """Decode the performative at the start of a frame's body; return it and the offset of the payload behind it.

    Raises:
        CodecError: the body is no performative that a client may send.
    """
    value, offset = decode(body)
    if not isinstance(value, Described) or not isinstance(value.value, list):
        raise CodecError("a frame does not start with a performative")
    kind = BY_CODE.get(value.descriptor)
    if kind is None:
        raise CodecError(f"a frame holds an unknown performative {value.descriptor!r}")
    return kind.from_fields(value.value), offset


def terminus(code: int, fields: list[Any]) -> Described:
    """Build a source (0x28) or target (0x29) from its fields (3.5.3, 3.5.4)."""
    return Described(UnsignedLong(code), fields)
