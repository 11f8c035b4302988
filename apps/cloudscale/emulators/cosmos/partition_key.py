"""Partition keys: their canonical form and where they lie in the effective-partition-key space.

Clients compute effective partition keys too, to know which range holds a key, so the hash is the service's own:
MurmurHash3 x64 128 bit of the encoded components, most significant byte first, the two highest bits cleared
(azure-cosmos for Python, ``partition_key.py``; .NET SDK, ``PartitionKeyHash``). Only version 2 of the hash exists
here: a container is always answered with ``"version": 2``.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from cloudscale.emulators.cosmos.decoding import decode_json
from cloudscale.emulators.cosmos.errors import PARTITION_KEY_MISMATCH, bad_request
from cloudscale.emulators.cosmos.property_path import segments


class Undefined:
    """The component of a document that lacks the path. On the wire it is ``{}``."""

    def __repr__(self) -> str:
        return "{}"


UNDEFINED: Final = Undefined()

Component = str | int | float | bool | None | Undefined

MAXIMUM_PATHS: Final = 3
_header_decoder: Final = msgspec.json.Decoder(list[Any])
_MASK: Final = (1 << 64) - 1
_C1: Final = 0x87C37B91114253D5
_C2: Final = 0x4CF5AD432745937F
# The highest two bits of an effective partition key are always clear.
_LAST_KEY: Final = 2**126 - 1


@dataclass(frozen=True, slots=True)
class PartitionKeyDefinition:
    """The ``partitionKey`` of a container: one path, or up to three of a hierarchy."""

    paths: tuple[tuple[str, ...], ...]
    hierarchical: bool

    @classmethod
    def parse(cls, definition: dict[str, Any]) -> "PartitionKeyDefinition":
        """Read ``{"paths": [...], "kind": ...}``; raise CosmosError 400 when it makes no sense."""
        paths = definition.get("paths")
        kind = definition.get("kind", "Hash")
        if not isinstance(paths, list) or not paths or not all(isinstance(p, str) and p.startswith("/") for p in paths):
            raise bad_request("partitionKey.paths must be a list of paths that start with '/'.")
        if len(paths) > MAXIMUM_PATHS:
            raise bad_request(f"Too many partition key paths: a hierarchical key has {MAXIMUM_PATHS} at most.")
        if kind not in ("Hash", "MultiHash") or ((len(paths) > 1) != (kind == "MultiHash") and len(paths) > 1):
            raise bad_request("partitionKey.kind must be 'Hash' for one path and 'MultiHash' for several.")
        return cls(tuple(segments(path) for path in paths), kind == "MultiHash")

    def of_document(self, document: dict[str, Any]) -> tuple[Component, ...]:
        """The partition key of a decoded document. A path that leads to an object or array leads to nothing."""
        values = [_at(document, path) for path in self.paths]
        return tuple(UNDEFINED if isinstance(value, dict | list) else value for value in values)

    def prefix_of_header(self, header: str) -> tuple[Component, ...] | None:
        """The first components of a hierarchical key, where the header has fewer than the key; None for a whole key."""
        if not self.hierarchical:
            return None
        values = decode_json(_header_decoder, header, "The partition key header, which must be a JSON array,")
        if not 0 < len(values) < len(self.paths):
            return None
        return tuple(_component(UNDEFINED if value == {} else value) for value in values)

    def of_header(self, header: str) -> tuple[Component, ...]:
        """The partition key in ``x-ms-documentdb-partitionkey``, a JSON array with a component for each path."""
        values = decode_json(_header_decoder, header, "The partition key header, which must be a JSON array,")
        components = tuple(_component(UNDEFINED if value == {} else value) for value in values)
        if len(components) != len(self.paths):
            raise bad_request(
                "Partition key provided either doesn't correspond to definition in the collection or doesn't match "
                "partition key field values specified in the document. "
                f"It has {len(components)} components, the definition {len(self.paths)}.",
                substatus=PARTITION_KEY_MISMATCH,
            )
        return components

    def effective(self, components: Sequence[Component]) -> str:
        """Where the key lies: upper-case hexadecimal, compared as text."""
        encoded = [_encode(component) for component in components]
        parts = encoded if self.hierarchical else [b"".join(encoded)]
        return "".join(_hash_text(part) for part in parts)


def canonical(components: Sequence[Component]) -> str:
    """One text for one key: 1 and 1.0 are the same number."""
    plain: list[object] = [{} if component is UNDEFINED else _plain_number(component) for component in components]
    return msgspec.json.encode(plain).decode()


def range_boundaries(count: int) -> list[str]:
    """The ``count`` + 1 borders of the partition key ranges, from "" to "FF", where the service has them."""
    width = _LAST_KEY // count
    inner = [f"{width * index:032X}" for index in range(1, count)]
    return ["", *inner, "FF"]


def _at(document: Any, path: Sequence[str]) -> Any:
    for name in path:
        if not isinstance(document, dict) or name not in document:
            return UNDEFINED
        document = document[name]
    return document


def _component(value: Any) -> Component:
    if value is None or isinstance(value, str | bool | int | float | Undefined):
        return value
    raise bad_request("A partition key component must be a string, a number, a boolean or null.")


def _plain_number(component: Component) -> Component:
    if isinstance(component, float) and component.is_integer():
        return int(component)
    return component


def _encode(component: Component) -> bytes:
    if component is UNDEFINED:
        return b"\x00"
    if component is None:
        return b"\x01"
    if component is False:
        return b"\x02"
    if component is True:
        return b"\x03"
    if isinstance(component, str):
        return b"\x08" + component.encode() + b"\xff"
    try:
        return b"\x05" + struct.pack("<d", component)
    except (struct.error, OverflowError) as error:
        raise bad_request("A number in a partition key is beyond the range of a double.") from error


def _hash_text(data: bytes) -> str:
    low, high = murmur3_x64_128(data)
    digest = bytearray((high << 64 | low).to_bytes(16, "big"))
    digest[0] &= 0x3F
    return digest.hex().upper()


def _rotate(value: int, bits: int) -> int:
    return (value << bits | value >> (64 - bits)) & _MASK


def _mix(value: int) -> int:
    value = (value ^ value >> 33) * 0xFF51AFD7ED558CCD & _MASK
    value = (value ^ value >> 33) * 0xC4CEB9FE1A85EC53 & _MASK
    return value ^ value >> 33


def murmur3_x64_128(data: bytes) -> tuple[int, int]:
    """MurmurHash3 x64 128 bit with seed 0 (Austin Appleby, SMHasher, public domain): low and high half."""
    first = second = 0
    whole = len(data) // 16 * 16
    for offset in range(0, whole, 16):
        left, right = struct.unpack_from("<QQ", data, offset)
        first ^= _rotate(left * _C1 & _MASK, 31) * _C2 & _MASK
        first = (_rotate(first, 27) + second & _MASK) * 5 + 0x52DCE729 & _MASK
        second ^= _rotate(right * _C2 & _MASK, 33) * _C1 & _MASK
        second = (_rotate(second, 31) + first & _MASK) * 5 + 0x38495AB5 & _MASK
    tail = data[whole:]
    second ^= _rotate(int.from_bytes(tail[8:], "little") * _C2 & _MASK, 33) * _C1 & _MASK
    first ^= _rotate(int.from_bytes(tail[:8], "little") * _C1 & _MASK, 31) * _C2 & _MASK
    first ^= len(data)
    second ^= len(data)
    first = first + second & _MASK
    second = second + first & _MASK
    first, second = _mix(first), _mix(second)
    first = first + second & _MASK
    return first, second + first & _MASK
