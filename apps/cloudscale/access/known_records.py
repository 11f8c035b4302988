"""What one process remembers of the directory: records, and that some are not there."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

import msgspec

from cloudscale.access.records import Key, Tenant

if TYPE_CHECKING:
    from cloudscale.access.records import Reference


class KnownRecord(msgspec.Struct, gc=False):
    """A record as it was found, or that there was none."""

    record: Tenant | Key | None
    read_at: float
    """In seconds, on the clock of the event loop."""
    is_stale: bool = False
    """Whether it may have changed since: it is not known what has."""
    is_assumed: bool = False
    """Whether nobody who knows could be asked, so that it counts for a moment only."""


class KnownRecords:
    """Bounded; what was asked for longest ago is forgotten first.

    What is not there is remembered apart from what is, so that callers who invent keys cannot push out those of others.

    Args:
        most_records: so many that are there.
        most_absent: so many that are not.
    """

    def __init__(self, *, most_records: int, most_absent: int) -> None:
        self._most_records = most_records
        self._most_absent = most_absent
        self._records: OrderedDict[Reference, KnownRecord] = OrderedDict()
        self._absent: OrderedDict[Reference, KnownRecord] = OrderedDict()

    def get(self, reference: Reference) -> KnownRecord | None:
        """What is known of it; None is nothing."""
        return self._records.get(reference) or self._absent.get(reference)

    def touch(self, reference: Reference) -> None:
        """Note that it was asked for."""
        for some in (self._records, self._absent):
            if reference in some:
                some.move_to_end(reference)

    def keep(self, reference: Reference, known: KnownRecord) -> None:
        """Remember it, in place of what was known of it."""
        self.forget(reference)
        some, most = (self._absent, self._most_absent) if known.record is None else (self._records, self._most_records)
        some[reference] = known
        if len(some) > most:
            some.popitem(last=False)

    def forget(self, reference: Reference) -> None:
        """Know nothing of it any more."""
        self._records.pop(reference, None)
        self._absent.pop(reference, None)

    def distrust(self) -> None:
        """Note that anything may have changed."""
        for some in (self._records, self._absent):
            for known in some.values():
                known.is_stale = True
