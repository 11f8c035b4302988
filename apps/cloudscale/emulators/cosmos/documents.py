"""The documents of one container: every change of an item goes through here, inside a write of the storage."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager

from cloudscale.emulators.cosmos.clock import Clock
from cloudscale.emulators.cosmos.document_head import Head, HeadReader
from cloudscale.emulators.cosmos.errors import CosmosError, bad_request, conflict, not_found
from cloudscale.emulators.cosmos.key_index import KeyIndex, key_digest
from cloudscale.emulators.cosmos.ordered_members import OrderedMembers
from cloudscale.emulators.cosmos.partition_key import Component, canonical
from cloudscale.emulators.cosmos.partitions import Partitions
from cloudscale.emulators.cosmos.preconditions import check_match, check_partition_key
from cloudscale.emulators.cosmos.resources import Container, Item, document_number
from cloudscale.emulators.cosmos.sequence_numbers import SequenceNumbers
from cloudscale.emulators.cosmos.storage import Storage
from cloudscale.emulators.cosmos.tables import COLUMNS, expired_numbers, to_item
from cloudscale.emulators.cosmos.unique_keys import UniqueKeys


class Documents:
    """Reads and changes items. Every method that changes something is called inside ``Storage.write``."""

    def __init__(self, storage: Storage, container: Container, clock: Clock) -> None:
        self._storage = storage
        self._connection = storage.connection
        self._clock = clock
        self.container = container
        self._table = f"documents_{container.number}"
        self._buffer: dict[int, Item] = {}
        self._enlisted = False
        self.reload()

    def reload(self) -> None:
        """Read everything that is kept in memory from the tables."""
        self.heads = HeadReader(self.container.partition_key)
        self.partitions = Partitions(self._connection, self.container.number, self.container.partition_key)
        self.keys = KeyIndex(self._connection, self.container.number)
        self._unique = UniqueKeys(self._connection, self.container)
        self.orders = OrderedMembers(self._connection, self.container)
        (self.count,) = self._connection.execute(f"SELECT count(*) FROM {self._table}").fetchone()
        self._numbers = SequenceNumbers(self._connection, self.container.number)
        row = self._connection.execute(f"SELECT ts FROM {self._table} ORDER BY lsn DESC LIMIT 1").fetchone()
        self._clock.not_before(row[0] if row else 0)

    # Participant

    def flush(self) -> None:
        """Insert the new documents of this write, all at once."""
        if self._buffer:
            rows = [
                (item.number, item.lsn, item.partition, item.timestamp, item.ttl, item.id, item.body.decode())
                for item in self._buffer.values()
            ]
            self._connection.executemany(f"INSERT INTO {self._table} VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
            self._buffer.clear()

    def keep(self) -> None:
        """The write succeeded."""
        self._enlisted = False
        merged = self.keys.is_merging
        self.keys.keep()
        self.partitions.keep()
        self.orders.keep()
        if self.keys.wants_merge and not merged:
            self._storage.write_unattended(self._merge_keys)

    def _merge_keys(self) -> None:
        self._enlist()
        self.keys.merge_step(self._numbers.document)

    def discard(self) -> None:
        """The write was rolled back."""
        if not self._enlisted:
            return
        self._enlisted = False
        self._buffer.clear()
        self.keys.discard()
        self.partitions.discard()
        self.orders.discard()
        self._numbers.discard()
        self.count = self._count_before

    def _enlist(self) -> None:
        if not self._enlisted:
            self._enlisted = True
            self._numbers.begin()
            self._count_before = self.count
            self._now = self._clock.now()
            self._storage.enlist(self)

    # reading

    @property
    def lsn(self) -> int:
        """The sequence number of the last write."""
        return self._numbers.lsn

    def is_visible(self, item: Item, now: int) -> bool:
        """Whether the item's time to live has not run out. Times to live count only in containers that have them on."""
        default = self.container.default_ttl
        if default is None:
            return True
        ttl = default if item.ttl is None else item.ttl
        return ttl == -1 or item.timestamp + ttl > now

    def find(self, partition_key: Sequence[Component], document_id: str) -> Item:
        """The item; raises CosmosError 404."""
        item = self._find(partition_key, document_id)
        if item is None:
            raise not_found(document_id)
        return item

    def _find(self, partition_key: Sequence[Component], document_id: str) -> Item | None:
        partition = self.partitions.find(partition_key)
        if partition is None:
            return None
        item = self._stored(key_digest(partition, document_id), partition, document_id)
        return item if item is not None and self.is_visible(item, self._clock.now()) else None

    def _stored(self, digest: bytes, partition: int, document_id: str) -> Item | None:
        """The item with a key, expired or not."""
        number = self.keys.find(digest)
        if number is None:
            return None
        item = self._load(number)
        if item.id != document_id or item.partition != partition:
            raise CosmosError(500, f"The keys of '{document_id}' and '{item.id}' collide: rename one of them.")
        return item

    def _load(self, number: int) -> Item:
        item = self._buffer.get(number)
        if item is None:
            statement = f"SELECT {COLUMNS} FROM {self._table} WHERE number = ?"
            item = to_item(self._connection.execute(statement, (number,)).fetchone())
        return item

    def name_of(self, rid: str) -> str:
        """The id of the document with a resource id; raises CosmosError 404."""
        number = document_number(self.container.rid_bytes, rid)
        row = self._connection.execute(f"SELECT id FROM {self._table} WHERE number = ?", (number,)).fetchone()
        if row is None:
            raise not_found(rid)
        return str(row[0].decode())

    # writing

    def look_ahead(self, partition_key: Sequence[Component], ids: Iterable[str]) -> None:
        """Prepare a write that touches many documents of one partition: their keys are looked up together."""
        if not self.keys.has_merged:
            return
        partition = self.partitions.find(partition_key)
        if partition is not None:
            self._enlist()
            self.keys.look_up([key_digest(partition, document_id) for document_id in ids])

    def create(self, body: bytes, partition_key: Sequence[Component] | None) -> Item:
        """Store a new document; raises CosmosError 409 when its id is taken in its partition."""
        head = self.heads.read(body)
        check_partition_key(head, partition_key)
        self._enlist()
        return self._insert(head)

    def upsert(
        self, body: bytes, partition_key: Sequence[Component] | None, *, if_match: str | None = None
    ) -> tuple[Item, bool]:
        """Store a document whether or not it exists; True when it is new."""
        head = self.heads.read(body)
        check_partition_key(head, partition_key)
        self._enlist()
        existing = self._find(head.partition_key, head.id)
        if existing is None:
            return self._insert(head), True
        check_match(existing, if_match)
        return self._update(existing, head), False

    def replace(
        self, document_id: str, body: bytes, partition_key: Sequence[Component] | None, *, if_match: str | None = None
    ) -> Item:
        """Store another version of a document that exists, under another id if it says so."""
        head = self.heads.read(body)
        check_partition_key(head, partition_key)
        self._enlist()
        existing = self.find(head.partition_key, document_id)
        check_match(existing, if_match)
        if head.id != document_id:
            key = self._free_key(existing.partition, head.id)
            self.keys.rename(key_digest(existing.partition, document_id), key, existing.number)
        return self._update(existing, head)

    def modify(
        self,
        document_id: str,
        partition_key: Sequence[Component],
        change: Callable[[Item], Head],
        *,
        if_match: str | None = None,
    ) -> Item:
        """Replace a document by what ``change`` makes of it; its id and partition key cannot change."""
        self._enlist()
        existing = self.find(partition_key, document_id)
        check_match(existing, if_match)
        head = change(existing)
        if head.id != existing.id or canonical(head.partition_key) != canonical(partition_key):
            raise bad_request("A patch can change neither 'id' nor the partition key.")
        return self._update(existing, head)

    def delete(self, document_id: str, partition_key: Sequence[Component], *, if_match: str | None = None) -> None:
        """Remove a document."""
        self._enlist()
        existing = self.find(partition_key, document_id)
        check_match(existing, if_match)
        self._remove(existing)
        self._numbers.next_lsn()

    def delete_partition(self, partition_key: Sequence[Component], limit: int) -> bool:
        """Remove up to ``limit`` documents of a partition; False when there were none."""
        partition = self.partitions.find(partition_key)
        if partition is None:
            return False
        self._enlist()
        self.flush()
        statement = f"SELECT {COLUMNS} FROM {self._table} WHERE partition = ? LIMIT ?"
        found = self._connection.execute(statement, (partition, limit)).fetchall()
        for row in found:
            self._remove(to_item(row))
        if found:
            self._numbers.next_lsn()
        return bool(found)

    def expire(self, numbers: Sequence[int]) -> None:
        """Remove documents whose time to live has run out, if they are still there and nobody has renewed them."""
        self._enlist()
        for number in set(numbers).intersection(self.expired(len(numbers))):
            self._remove(self._load(number))

    def _insert(self, head: Head) -> Item:
        partition = self.partitions.find_or_add(head.partition_key)
        digest = self._free_key(partition, head.id)
        number = self._numbers.next_document()
        item = Item(number, self._numbers.next_lsn(), partition, self._now, head.ttl, head.id, head.body)
        if self._unique.any:
            self._unique.add(item)
        self._buffer[number] = item
        self.keys.add(digest, number)
        self.count += 1
        return item

    def _free_key(self, partition: int, document_id: str) -> bytes:
        """The key for a document that gets this id; raises CosmosError 409 when it is taken."""
        digest = key_digest(partition, document_id)
        existing = self._stored(digest, partition, document_id)
        if existing is not None:
            if self.is_visible(existing, self._now):
                raise conflict(document_id)
            self._remove(existing)
        return digest

    def _update(self, existing: Item, head: Head) -> Item:
        self.flush()
        lsn = self._numbers.next_lsn()
        item = existing._replace(lsn=lsn, timestamp=self._now, ttl=head.ttl, id=head.id, body=head.body)
        if self._unique.any:
            self._unique.remove(existing)
            self._unique.add(item)
        self._connection.execute(
            f"UPDATE {self._table} SET lsn = ?, ts = ?, ttl = ?, id = ?, body = ? WHERE number = ?",
            (item.lsn, item.timestamp, item.ttl, item.id, item.body.decode(), item.number),
        )
        return item

    def _remove(self, item: Item) -> None:
        self.flush()
        if self._unique.any:
            self._unique.remove(item)
        self._connection.execute(f"DELETE FROM {self._table} WHERE number = ?", (item.number,))
        self.orders.remove(item.number)
        self.keys.remove(key_digest(item.partition, item.id))
        self.count -= 1

    def keep_in_order(self, member: str) -> None:
        """Begin to keep the documents in the order of a member, or take in the next ones."""
        self._enlist()
        self.orders.add(member)
        self.orders.catch_up(member, self.lsn)

    def transaction(self) -> AbstractContextManager[None]:
        """All writes inside have one sequence number, so that readers of changes get all of them or none."""
        self._enlist()
        return self._numbers.transaction()

    def expired(self, limit: int) -> list[int]:
        """Numbers of up to ``limit`` documents whose time to live has run out."""
        return expired_numbers(self._connection, self.container, self._clock.now(), end=self.lsn + 1, limit=limit)
