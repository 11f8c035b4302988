"""What a write must know of a document: its id, its partition key and its time to live.

Only these members are decoded; the text itself is stored as it came unless names may be escaped in it, so the cost of
a write hardly depends on what is in the document.
"""

import re
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from cloudscale.emulators.cosmos.errors import CosmosError, bad_request, name_too_long
from cloudscale.emulators.cosmos.partition_key import UNDEFINED, Component, PartitionKeyDefinition
from cloudscale.emulators.cosmos.property_path import SYSTEM_PROPERTIES

MAXIMUM_DOCUMENT_BYTES: Final = 2 * 1024 * 1024
MAXIMUM_ID_BYTES: Final = 1023
MAXIMUM_PARTITION_KEY_BYTES: Final = 2048
"""Of a value, with version 2 of the hash (https://learn.microsoft.com/azure/cosmos-db/concepts-limits)."""
# The exponent of a number that may be beyond a double, which only the full decoder finds. It is looked for in two
# steps, since one expression for both takes five times as long.
_EXPONENT: Final = re.compile(rb"[eE][+\d]\d\d")
_END_OF_NUMBER: Final = re.compile(rb"\d*[\s,\]}]")
_Leaf = str | int | float | bool | None | msgspec.UnsetType


@dataclass(slots=True)
class Head:
    """A document that is to be written. ``body`` is its text without system properties."""

    id: str
    partition_key: tuple[Component, ...]
    ttl: int | None
    body: bytes


class HeadReader:
    """Reads heads of the documents of one container."""

    def __init__(self, definition: PartitionKeyDefinition) -> None:
        self._definition = definition
        tree: dict[str, Any] = {"id": None, "ttl": None}
        # A path below "id" or "ttl" cannot be read in the same pass.
        self._decoder: msgspec.json.Decoder[Any] | None = None
        if all(_graft(tree, path) for path in definition.paths):
            self._decoder = msgspec.json.Decoder(_build_struct(tree))
        self._attributes = [[_attribute(name) for name in path] for path in definition.paths]

    def read(self, body: bytes) -> Head:
        """Read the head; raise CosmosError 400 or 413 when the document cannot be stored."""
        if len(body) > MAXIMUM_DOCUMENT_BYTES:
            raise CosmosError(413, f"Request size is too large: a document has at most {MAXIMUM_DOCUMENT_BYTES} bytes.")
        # System properties are spliced in before the last brace.
        body = body.strip()
        if b"\\" in body:
            body = _plain_names(body)
        if self._decoder is not None and b'"_' not in body:
            try:
                head = self._decoder.decode(body)
                body.decode()
            except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
                # Either no JSON, or a path leads through something else than objects: the full decoder knows.
                return self._read_fully(body)
            key = _check_key(tuple([_walk(head, path) for path in self._attributes]))
            return Head(_check_id(head.id), key, _check_ttl(head.ttl), body)
        return self._read_fully(body)

    def _read_fully(self, body: bytes) -> Head:
        try:
            document = msgspec.json.decode(body)
            body.decode()
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            raise bad_request(f"The request body is not valid JSON: {error}.") from error
        if not isinstance(document, dict):
            raise bad_request("A document must be a JSON object.")
        return self.of_document(document, None if document.keys().isdisjoint(SYSTEM_PROPERTIES) else b"", body)

    def of_document(self, document: dict[str, Any], encoded: bytes | None = b"", body: bytes = b"") -> Head:
        """The head of a decoded document; its body is encoded again unless ``encoded`` is None."""
        if encoded is not None:
            document = {name: value for name, value in document.items() if name not in SYSTEM_PROPERTIES}
            body = msgspec.json.encode(document)
            if len(body) > MAXIMUM_DOCUMENT_BYTES:
                raise CosmosError(413, f"A document has at most {MAXIMUM_DOCUMENT_BYTES} bytes.")
        return Head(
            _check_id(document.get("id", msgspec.UNSET)),
            _check_key(self._definition.of_document(document)),
            _check_ttl(document.get("ttl", msgspec.UNSET)),
            body,
        )


def refuse_numbers_beyond_doubles(body: bytes) -> None:
    """Raise CosmosError 400 for a document with a number such as 1e400.

    For writes of single items: in a batch it would cost a third of the time that a document takes.
    """
    if any(_END_OF_NUMBER.match(body, match.end()) for match in _EXPONENT.finditer(body)):
        try:
            msgspec.json.decode(body)
        except msgspec.ValidationError as error:
            raise bad_request(f"The document cannot be stored: {error}.") from error
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            # What else is wrong with it is said when it is written.
            return


def _plain_names(body: bytes) -> bytes:
    r"""The document with as few escapes as JSON needs, so that paths find its members by name.

    Clients may write ``\u00e9`` for é, and SQLite compares names as they are written, up to 3.40 at least. A document
    that cannot be written differently, as one with a number beyond a double's range, stays as it came.
    """
    if b"\\u" not in body and b"\\/" not in body:
        return body
    try:
        return msgspec.json.encode(msgspec.json.decode(body))
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError, OverflowError):
        return body


def _graft(tree: dict[str, Any], path: tuple[str, ...]) -> bool:
    """Add a path to the tree of members to decode.

    False when it runs through a leaf or ends in a branch, or has a name that the decoder does not take.
    """
    if any(character in name for name in path for character in '"\\') or any(map(_has_control, path)):
        return False
    for name in path[:-1]:
        branch = tree.setdefault(name, {})
        if branch is None:
            return False
        tree = branch
    return tree.setdefault(path[-1], None) is None


def _has_control(name: str) -> bool:
    return any(character < " " for character in name)


def _build_struct(tree: dict[str, Any]) -> type[msgspec.Struct]:
    fields: list[tuple[str, Any, Any]] = []
    names: dict[str, str] = {}
    for name, branch in tree.items():
        attribute = _attribute(name)
        names[attribute] = name
        kind = _Leaf if branch is None else _build_struct(branch) | msgspec.UnsetType
        fields.append((attribute, kind, msgspec.UNSET))
    return msgspec.defstruct("DocumentHead", fields, rename=names.get)


def _attribute(name: str) -> str:
    return name if name in ("id", "ttl") else "member_" + name.encode().hex()


def _walk(head: Any, attributes: list[str]) -> Component:
    for name in attributes:
        head = getattr(head, name)
        if head is msgspec.UNSET:
            return UNDEFINED
    return head  # type: ignore[no-any-return]


def _check_key(key: tuple[Component, ...]) -> tuple[Component, ...]:
    for value in key:
        # A character has four bytes at the most, so most values need no second look.
        is_long = isinstance(value, str) and len(value) > MAXIMUM_PARTITION_KEY_BYTES // 4
        if is_long and len(str(value).encode()) > MAXIMUM_PARTITION_KEY_BYTES:
            raise bad_request(f"A partition key value has at most {MAXIMUM_PARTITION_KEY_BYTES} bytes.")
    return key


def _check_id(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise bad_request("The input content is invalid because the required property 'id' is missing or not a string.")
    if len(value) > MAXIMUM_ID_BYTES or len(value.encode()) > MAXIMUM_ID_BYTES:
        raise name_too_long(value, MAXIMUM_ID_BYTES + 1)
    return value


def _check_ttl(value: object) -> int | None:
    if value is msgspec.UNSET:
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not (value == -1 or 0 < value <= 2**31 - 1):
        raise bad_request("'ttl' must be -1 or a positive number of seconds below 2^31.")
    return value
