"""AMQP 1.0 values: their encoding and decoding (OASIS AMQP 1.0, part 1, "Types").

The well-kept codec, ``python-qpid-proton``, is published as a source distribution only and needs a C compiler, which
a fresh machine does not have; so this module is our own. It holds the types and nothing of the protocol.

Decoding is lenient: integers of all widths become ``int``, strings ``str``. Encoding picks the width from the value's
class: a plain ``int`` is a ``long``, and the classes below stand for the other widths. Payloads of messages never pass
through here; they stay opaque bytes (see ``message``).
"""

from __future__ import annotations

import struct
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cloudscale.errors import CloudScaleError

if TYPE_CHECKING:
    from collections.abc import Callable

# The tag :class:`Described` carries is any value, a ``ulong`` or a symbol in practice (1.2).
Value = Any
Buffer = bytes | memoryview

NULL = b"\x40"
TRUE = b"\x41"
FALSE = b"\x42"
MAXIMUM_DEPTH = 32


class CodecError(CloudScaleError):
    """Bytes are not a valid AMQP 1.0 value, or a value has no AMQP encoding."""


class Symbol(str):
    """A ``symbol`` (1.6.21): an ASCII constant."""

    __slots__ = ()


class Timestamp(int):
    """A ``timestamp`` (1.6.17): milliseconds since the Unix epoch, UTC."""


class UnsignedByte(int):
    """A ``ubyte``."""


class UnsignedShort(int):
    """A ``ushort``."""


class UnsignedInteger(int):
    """A ``uint``."""


class UnsignedLong(int):
    """A ``ulong``."""


class Integer(int):
    """An ``int`` of 32 bits."""


@dataclass(frozen=True, slots=True)
class Described:
    """A value with a descriptor (1.2) that says what it stands for."""

    descriptor: Value
    value: Value


@dataclass(frozen=True, slots=True)
class Array:
    """An ``array`` (1.6.24): values that share one class of this module (or a plain Python class)."""

    kind: type
    items: tuple[Value, ...]


_U16, _U32, _U64 = struct.Struct(">H"), struct.Struct(">I"), struct.Struct(">Q")
_I8, _I16, _I32, _I64 = struct.Struct(">b"), struct.Struct(">h"), struct.Struct(">i"), struct.Struct(">q")
_F32, _F64 = struct.Struct(">f"), struct.Struct(">d")


def encode_unsigned_integer(value: int) -> bytes:
    """Encode a ``uint`` in its shortest form (1.6.5)."""
    if value == 0:
        return b"\x43"
    return bytes((0x52, value)) if value < 256 else b"\x70" + _U32.pack(value)


def encode_unsigned_long(value: int) -> bytes:
    """Encode a ``ulong`` in its shortest form (1.6.6)."""
    if value == 0:
        return b"\x44"
    return bytes((0x53, value)) if value < 256 else b"\x80" + _U64.pack(value)


def encode_boolean(value: bool) -> bytes:
    """Encode a ``boolean`` (1.6.2)."""
    return TRUE if value else FALSE


def encode_string(value: str) -> bytes:
    """Encode a ``string`` (1.6.20)."""
    return _variable(0xA1, value.encode())


def encode_symbol(value: str) -> bytes:
    """Encode a ``symbol`` (1.6.21)."""
    return _variable(0xA3, value.encode("ascii"))


def encode_binary(value: Buffer) -> bytes:
    """Encode a ``binary`` (1.6.19)."""
    return _variable(0xA0, bytes(value))


def encode_timestamp(value: int) -> bytes:
    """Encode a ``timestamp`` in milliseconds since the epoch (1.6.17)."""
    return b"\x83" + _I64.pack(value)


def encode_list(items: list[bytes]) -> bytes:
    """Encode a ``list`` of values that are encoded already (1.6.22)."""
    if not items:
        return b"\x45"
    return _compound(0xC0, len(items), b"".join(items))


def encode_map(items: list[bytes]) -> bytes:
    """Encode a ``map`` from its keys and values in turn, each encoded already (1.6.23)."""
    return _compound(0xC1, len(items), b"".join(items))


def encode_described(code: int, body: bytes) -> bytes:
    """Put the numeric descriptor ``code`` before an encoded value (1.2)."""
    return b"\x00" + encode_unsigned_long(code) + body


def encode(value: Value) -> bytes:
    """Encode a value by its class.

    Raises:
        CodecError: its class has no AMQP counterpart, or it does not fit the width of its class.
    """
    encoder = _ENCODERS.get(type(value))
    if encoder is None:
        raise CodecError(f"a {type(value).__name__} has no AMQP encoding: use one of the classes in this module")
    try:
        return encoder(value)
    except (struct.error, ValueError) as error:
        raise CodecError(f"{value!r} does not fit an AMQP {type(value).__name__}: {error}") from error


def _variable(short_code: int, body: bytes) -> bytes:
    """Encode a variable-width value: one octet of length when that is enough, else four (1.2.2)."""
    if len(body) < 256:
        return bytes((short_code, len(body))) + body
    return bytes((short_code + 0x10,)) + _U32.pack(len(body)) + body


def _compound(short_code: int, count: int, body: bytes) -> bytes:
    """Encode a compound value; its size counts the octets of the count as well (1.2.3)."""
    if count < 256 and len(body) < 255:
        return bytes((short_code, len(body) + 1, count)) + body
    return bytes((short_code + 0x10,)) + _U32.pack(len(body) + 4) + _U32.pack(count) + body


def _encode_described_value(value: Described) -> bytes:
    return b"\x00" + encode(value.descriptor) + encode(value.value)


def _encode_array(value: Array) -> bytes:
    if value.kind not in _ARRAY_ELEMENTS:
        raise CodecError(f"an array of {value.kind.__name__} has no AMQP encoding here: use a list")
    code, element = _ARRAY_ELEMENTS[value.kind]
    body = b"".join(element(item) for item in value.items)
    return b"\xf0" + _U32.pack(len(body) + 5) + _U32.pack(len(value.items)) + bytes((code,)) + body


def _long_variable(body: bytes) -> bytes:
    return _U32.pack(len(body)) + body


_ENCODERS: dict[type, Callable[[Any], bytes]] = {
    type(None): lambda _: NULL,
    bool: encode_boolean,
    int: lambda value: b"\x81" + _I64.pack(value),
    float: lambda value: b"\x82" + _F64.pack(value),
    str: encode_string,
    bytes: encode_binary,
    bytearray: encode_binary,
    memoryview: encode_binary,
    uuid.UUID: lambda value: b"\x98" + value.bytes,
    Symbol: encode_symbol,
    Timestamp: encode_timestamp,
    UnsignedByte: lambda value: b"\x50" + bytes((value,)),
    UnsignedShort: lambda value: b"\x60" + _U16.pack(value),
    UnsignedInteger: encode_unsigned_integer,
    UnsignedLong: encode_unsigned_long,
    Integer: lambda value: b"\x71" + _I32.pack(value),
    list: lambda value: encode_list([encode(item) for item in value]),
    dict: lambda value: encode_map([encode(part) for item in value.items() for part in item]),
    Described: _encode_described_value,
    Array: _encode_array,
}

# Every element of an array has the same constructor, so only the widest one is safe (1.2.4).
_ARRAY_ELEMENTS: dict[type, tuple[int, Callable[[Any], bytes]]] = {
    int: (0x81, _I64.pack),
    Integer: (0x71, _I32.pack),
    UnsignedInteger: (0x70, _U32.pack),
    UnsignedLong: (0x80, _U64.pack),
    Timestamp: (0x83, _I64.pack),
    uuid.UUID: (0x98, lambda value: value.bytes),
    str: (0xB1, lambda value: _long_variable(value.encode())),
    Symbol: (0xB3, lambda value: _long_variable(value.encode("ascii"))),
    bytes: (0xB0, _long_variable),
}


def decode(data: Buffer, offset: int = 0) -> tuple[Value, int]:
    """Decode the value at ``offset``; return it and the offset behind it.

    Raises:
        CodecError: the bytes end early, nest too deep or hold an unknown constructor.
    """
    try:
        return _decode(data, offset, MAXIMUM_DEPTH)
    except (IndexError, struct.error, UnicodeDecodeError, TypeError) as error:
        raise CodecError(f"broken AMQP value at octet {offset}: {error}") from error


def _decode(data: Buffer, offset: int, depth: int) -> tuple[Value, int]:
    code = data[offset]
    if code == 0:
        if not depth:
            raise CodecError(f"an AMQP value nests deeper than {MAXIMUM_DEPTH}")
        descriptor, offset = _decode(data, offset + 1, depth - 1)
        value, offset = _decode(data, offset, depth - 1)
        return Described(descriptor, value), offset
    return _decode_body(code, data, offset + 1, depth)


def _decode_body(code: int, data: Buffer, offset: int, depth: int) -> tuple[Value, int]:
    fixed = _FIXED.get(code)
    if fixed is not None:
        width, convert = fixed
        return convert(_take(data, offset, width)), offset + width
    variable = _VARIABLE.get(code & 0xEF)
    if variable is not None and code & 0xF0 in {0xA0, 0xB0}:
        start, end = _extent(data, offset, wide=code >= 0xB0)
        return variable(_take(data, start, end - start)), end
    if code in {0xC0, 0xC1, 0xD0, 0xD1, 0xE0, 0xF0}:
        if not depth:
            raise CodecError(f"an AMQP value nests deeper than {MAXIMUM_DEPTH}")
        return _decode_compound(code, data, offset, depth - 1)
    raise CodecError(f"unknown AMQP constructor 0x{code:02x} at octet {offset - 1}")


def _decode_compound(code: int, data: Buffer, offset: int, depth: int) -> tuple[Value, int]:
    wide = code in {0xD0, 0xD1, 0xF0}
    start, end = _extent(data, offset, wide=wide)
    body = _take(data, start, end - start)
    count, position = (_U32.unpack_from(body)[0], 4) if wide else (body[0], 1)
    # Even an empty value takes an octet, unless it is an array's, whose constructor stands apart.
    if count > max(len(body), 0x10000):
        raise CodecError(f"a compound AMQP value of {len(body)} octets claims {count} elements")
    items = []
    if code in {0xE0, 0xF0}:
        element, position = body[position], position + 1
        for _ in range(count):
            item, position = _decode_body(element, body, position, depth)
            items.append(item)
        return Array(type(items[0]) if items else type(None), tuple(items)), end
    for _ in range(count):
        item, position = _decode(body, position, depth)
        items.append(item)
    if code in {0xC0, 0xD0}:
        return items, end
    if count % 2:
        raise CodecError(f"an AMQP map holds {count} items, which is not a whole number of pairs")
    return dict(zip(items[::2], items[1::2], strict=True)), end


def _extent(data: Buffer, offset: int, *, wide: bool) -> tuple[int, int]:
    if wide:
        return offset + 4, offset + 4 + int(_U32.unpack_from(data, offset)[0])
    return offset + 1, offset + 1 + data[offset]


def _take(data: Buffer, offset: int, length: int) -> Buffer:
    part = data[offset : offset + length]
    if len(part) != length:
        raise CodecError(f"an AMQP value of {length} octets ends after {len(part)}")
    return part


def _scalar(layout: struct.Struct) -> Callable[[Buffer], Value]:
    return lambda part: layout.unpack(part)[0]


_FIXED: dict[int, tuple[int, Callable[[Buffer], Value]]] = {
    0x40: (0, lambda _: None),
    0x41: (0, lambda _: True),
    0x42: (0, lambda _: False),
    0x43: (0, lambda _: 0),
    0x44: (0, lambda _: 0),
    0x45: (0, lambda _: []),
    0x50: (1, lambda part: part[0]),
    0x51: (1, _scalar(_I8)),
    0x52: (1, lambda part: part[0]),
    0x53: (1, lambda part: part[0]),
    0x54: (1, _scalar(_I8)),
    0x55: (1, _scalar(_I8)),
    0x56: (1, lambda part: part[0] != 0),
    0x60: (2, _scalar(_U16)),
    0x61: (2, _scalar(_I16)),
    0x70: (4, _scalar(_U32)),
    0x71: (4, _scalar(_I32)),
    0x72: (4, _scalar(_F32)),
    0x73: (4, lambda part: bytes(part).decode("utf-32-be")),
    0x74: (4, bytes),
    0x80: (8, _scalar(_U64)),
    0x81: (8, _scalar(_I64)),
    0x82: (8, _scalar(_F64)),
    0x83: (8, lambda part: Timestamp(_I64.unpack(part)[0])),
    0x84: (8, bytes),
    0x94: (16, bytes),
    0x98: (16, lambda part: uuid.UUID(bytes=bytes(part))),
}
_VARIABLE: dict[int, Callable[[Buffer], Value]] = {
    0xA0: bytes,
    0xA1: lambda part: bytes(part).decode(),
    0xA3: lambda part: Symbol(bytes(part).decode("ascii")),
}
