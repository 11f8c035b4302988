"""Resource ids, ETags and the system properties that the service adds to what users store."""

from binascii import a2b_base64, b2a_base64
from dataclasses import dataclass, field
from string import ascii_letters, digits, punctuation
from typing import Any, Final, NamedTuple
from urllib.parse import quote

from cloudscale.emulators.cosmos.computed_properties import parse_computed_properties
from cloudscale.emulators.cosmos.errors import CosmosError
from cloudscale.emulators.cosmos.indexing import IndexingPolicy, complete, indexing_policy
from cloudscale.emulators.cosmos.partition_key import PartitionKeyDefinition
from cloudscale.emulators.cosmos.query.ast import Expression

_PRINTABLE: Final = ascii_letters + digits + punctuation + " "


def encode_rid(data: bytes) -> str:
    """Resource ids are base64 with '-' instead of '/'."""
    return b2a_base64(data, newline=False).decode("ascii").replace("/", "-")


def etag(lsn: int, timestamp: int) -> str:
    """An ETag, quoted as in the header: it changes with every write."""
    return f'"{lsn:08x}-0000-0000-0000-{timestamp:012x}"'


@dataclass(slots=True, weakref_slot=True)
class Database:
    """A database. ``timestamp`` is Unix seconds."""

    number: int
    id: str
    timestamp: int
    throughput: dict[str, Any] | None

    @property
    def rid_bytes(self) -> bytes:
        """Four bytes."""
        return self.number.to_bytes(4, "big")

    @property
    def rid(self) -> str:
        """The resource id."""
        return encode_rid(self.rid_bytes)

    @property
    def self_link(self) -> str:
        """The link made of resource ids."""
        return f"dbs/{self.rid}/"


@dataclass(slots=True)
class Container:
    """A container: its definition as clients see it, and what is derived from it."""

    number: int
    database: Database
    definition: dict[str, Any]
    timestamp: int
    throughput: dict[str, Any] | None
    partition_key: PartitionKeyDefinition = field(init=False)
    default_ttl: int | None = field(init=False)
    indexing: IndexingPolicy = field(init=False)
    computed: dict[str, Expression] = field(init=False)
    rid_bytes: bytes = field(init=False)
    rid: str = field(init=False)
    self_link: str = field(init=False)
    path: str = field(init=False)

    def __post_init__(self) -> None:
        self.rid_bytes = self.database.rid_bytes + (0x80000000 | self.number).to_bytes(4, "big")
        self.rid = encode_rid(self.rid_bytes)
        self.self_link = f"{self.database.self_link}colls/{self.rid}/"
        self.define(self.definition)
        # For a header, so in ASCII.
        self.path = quote(f"dbs/{self.database.id}/colls/{self.id}", safe=_PRINTABLE)

    def define(self, definition: dict[str, Any]) -> None:
        """Take over a new definition."""
        self.definition = definition
        self.partition_key = PartitionKeyDefinition.parse(definition["partitionKey"])
        self.default_ttl = definition.get("defaultTtl")
        try:
            self.indexing = indexing_policy(complete(definition.get("indexingPolicy")))
            self.computed = parse_computed_properties(definition)
        except CosmosError:
            # An earlier version took any policy and heeded none.
            self.indexing, self.computed = indexing_policy(complete(None)), {}

    @property
    def id(self) -> str:
        """The name, unique in the database."""
        return str(self.definition["id"])


class Item(NamedTuple):
    """A stored document: ``body`` is the user's JSON text, without system properties.

    ``number`` is its resource id and never changes; ``lsn`` rises with every write of the container; ``timestamp`` is
    Unix seconds; ``ttl`` is the document's own time to live in seconds, -1 for ever, None for the container's.
    """

    number: int
    lsn: int
    partition: int
    timestamp: int
    ttl: int | None
    id: str
    body: bytes

    @property
    def etag(self) -> str:
        """The ETag, quoted."""
        return etag(self.lsn, self.timestamp)


def document_number(container_rid: bytes, rid: str) -> int | None:
    """The number in the resource id of one of the container's documents; None for any other text."""
    try:
        data = a2b_base64(rid.replace("-", "/"), strict_mode=True)
    except ValueError:
        return None
    number = int.from_bytes(data[8:], "little")
    return number if len(data) == 16 and data.startswith(container_rid) and number < 2**63 else None


def document_rid(container_rid: bytes, number: int) -> str:
    """The resource id of a document."""
    return encode_rid(container_rid + number.to_bytes(8, "little"))


def system_properties(container: Container, number: int, lsn: int, timestamp: int) -> str:
    """The JSON members that end every document that is answered, with the brace that closes it."""
    rid = document_rid(container.rid_bytes, number)
    return (
        f',"_rid":"{rid}","_self":"{container.self_link}docs/{rid}/",'
        f'"_etag":"\\"{lsn:08x}-0000-0000-0000-{timestamp:012x}\\"","_attachments":"attachments/","_ts":{timestamp}}}'
    )


def render(container: Container, item: Item) -> bytes:
    """The document as clients see it: the stored text with the system properties spliced in."""
    return item.body[:-1] + system_properties(container, item.number, item.lsn, item.timestamp).encode()
