"""Where the reading of a range begins that nobody has read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec

from cloudscale.store.feed_range import FeedRange
from cloudscale.store.leases import Lease
from cloudscale.store.ranges import OVERLAP, _first_lease


def test_the_part_of_a_split_range_that_never_reached_the_end_goes_on_where_its_parent_began() -> None:
    since = datetime(2026, 11, 1, tzinfo=UTC)
    parent = Lease(id="00-FF", expires_at=since, since=since)
    part = FeedRange("7F", "FF")
    assert _first_lease(part, {FeedRange("", "FF"): parent}, begin=None).since == since
    checked = msgspec.structs.replace(parent, checked_at=since + timedelta(days=1))
    assert _first_lease(part, {FeedRange("", "FF"): checked}, begin=None).since == since + timedelta(days=1) - OVERLAP
    assert _first_lease(part, {}, begin=since).since == since
