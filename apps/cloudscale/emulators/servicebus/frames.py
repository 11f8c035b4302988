"""Frames of the hot path, packed by hand: transfers, settlements and their outcomes (OASIS AMQP 1.0, 2.3, 2.7, 3.4)."""

from __future__ import annotations

import struct
from enum import IntEnum

from cloudscale.emulators.servicebus.codec import (
    encode_boolean,
    encode_described,
    encode_list,
    encode_unsigned_integer,
)
from cloudscale.emulators.servicebus.performatives import Disposition, ErrorDetail


class OutcomeCode(IntEnum):
    """Descriptors of the terminal delivery states (3.4)."""

    ACCEPTED = 0x24
    REJECTED = 0x25
    RELEASED = 0x26
    MODIFIED = 0x27


def rejected(condition: str, description: str) -> bytes:
    """Encode the ``rejected`` outcome with an error (3.4.3)."""
    return encode_described(OutcomeCode.REJECTED, encode_list([ErrorDetail(condition, description).encode()]))


def simple_outcome(code: OutcomeCode) -> bytes:
    """Encode an outcome without fields."""
    return encode_described(code, b"\x45")


ACCEPTED = simple_outcome(OutcomeCode.ACCEPTED)

_FRAME_HEADER = struct.Struct(">IBBH")
_TRANSFER = struct.Struct(">3sBBBBIBIBB16sBBB5s")
_DISPOSITION = struct.Struct(">3sBBBBBIBIB")


def frame(channel: int, body: bytes, kind: int = 0) -> bytes:
    """Put the frame header before a body (2.3.1); ``kind`` is 0 for AMQP, 1 for SASL. No body is a heartbeat."""
    return _FRAME_HEADER.pack(8 + len(body), 2, kind, channel) + body


def transfer_body(handle: int, delivery_id: int, tag: bytes, *, settled: bool, more: bool) -> bytes:
    """Encode a transfer with a delivery tag of 16 octets.

    All eleven fields are written although the last five are null: azure-servicebus before 7.15 indexes them.
    """
    return _TRANSFER.pack(
        b"\x00\x53\x14",
        0xC0,
        37,
        11,
        0x70,
        handle,
        0x70,
        delivery_id,
        0xA0,
        16,
        tag,
        0x43,
        0x41 if settled else 0x42,
        0x41 if more else 0x42,
        b"\x40\x40\x40\x40\x40",
    )


def disposition_body(first: int, last: int, outcome: bytes, *, receiver: bool) -> bytes:
    """Encode a settled disposition of the deliveries ``first`` to ``last``."""
    size = 13 + len(outcome)
    if size > 255:
        fields = [
            encode_boolean(receiver),
            encode_unsigned_integer(first),
            encode_unsigned_integer(last),
            encode_boolean(True),  # noqa: FBT003
            outcome,
        ]
        return encode_described(Disposition.code, encode_list(fields))
    role = 0x41 if receiver else 0x42
    return _DISPOSITION.pack(b"\x00\x53\x15", 0xC0, size, 5, role, 0x70, first, 0x70, last, 0x41) + outcome
