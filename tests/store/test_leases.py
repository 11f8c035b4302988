from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from cloudscale.store.leases import Lease, LeaseStore, leases_due, renewed

if TYPE_CHECKING:
    from cloudscale.store.events import EventStore

NOW = datetime(2024, 5, 1, tzinfo=UTC)
LATER, EARLIER = NOW + timedelta(seconds=10), NOW - timedelta(seconds=10)


def lease(name: str, owner: str = "", expires_at: datetime = LATER) -> Lease:
    return Lease(id=name, owner=owner, expires_at=expires_at)


def test_the_only_worker_wants_all_free_leases() -> None:
    assert [each.id for each in leases_due([lease("a"), lease("b")], "me", NOW)] == ["a", "b"]


def test_a_lease_that_ran_out_is_free() -> None:
    assert [each.id for each in leases_due([lease("a", "other", EARLIER)], "me", NOW)] == ["a"]


def test_a_newcomer_takes_one_from_whoever_has_most() -> None:
    leases = [lease("a", "rich"), lease("b", "rich"), lease("c", "rich"), lease("d", "poor")]
    (taken,) = leases_due(leases, "me", NOW)
    assert taken.owner == "rich"


def test_a_single_lease_is_left_where_it_is() -> None:
    assert leases_due([lease("a", "other")], "me", NOW) == []


@given(st.integers(1, 12), st.lists(st.sampled_from(["w1", "w2", "w3"]), min_size=5, max_size=60))
def test_workers_that_take_turns_end_up_with_fair_shares(ranges: int, turns: list[str]) -> None:
    owners = dict.fromkeys(map(str, range(ranges)), "")
    rounds = [*turns, *["w1", "w2", "w3"] * ranges]
    for worker in rounds:
        for each in leases_due([lease(name, owner) for name, owner in owners.items()], worker, NOW):
            owners[each.id] = worker
    counts = sorted(list(owners.values()).count(worker) for worker in ("w1", "w2", "w3"))
    assert "" not in owners.values()
    assert counts[-1] - counts[0] <= 1
    assert all(not leases_due([lease(*pair) for pair in owners.items()], worker, NOW) for worker in ("w1", "w2", "w3"))


async def test_of_two_workers_that_write_a_lease_one_succeeds(store: EventStore) -> None:
    leases = LeaseStore(store)
    await leases.create(lease("a"))
    await leases.create(lease("a", "too late"))
    (read,) = await leases.all()
    first = await leases.write(renewed(read, "one", timedelta(seconds=9)))
    assert first is not None
    assert await leases.write(renewed(read, "two", timedelta(seconds=9))) is None
    again = await leases.write(renewed(first, "one", timedelta(seconds=9)))
    assert again is not None
    assert again.owner == "one"
    await leases.remove(again)
    await leases.remove(again)
    assert await leases.all() == []


async def test_each_follower_has_leases_of_its_own(store: EventStore) -> None:
    await store.ensure(followers=True)
    profiles, archive, other = LeaseStore(store), LeaseStore(store, follower="a"), LeaseStore(store, follower="ab")
    for leases in (profiles, archive, other):
        await leases.create(lease("00-FF"))
    (read,) = await archive.all()
    assert read.id == "00-FF"
    assert await archive.write(renewed(read, "one", timedelta(seconds=9))) is not None
    assert [each.owner for leases in (profiles, other) for each in await leases.all()] == ["", ""]
    await archive.remove(read)
    assert await archive.all() == []
    assert [each.id for leases in (profiles, other) for each in await leases.all()] == ["00-FF", "00-FF"]
