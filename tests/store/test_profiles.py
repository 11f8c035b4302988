from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudscale.store.profiles import Profile, ProfileStore, partition_of, profile_id
from cloudscale.store.ranking import order_of, rank_of

if TYPE_CHECKING:
    from cloudscale.store.events import EventStore


def profile(user: str, *, tenant: str = "t1", **fields: object) -> Profile:
    made = Profile(id=profile_id(user), partition_key=partition_of(tenant, user), tenant_id=tenant, user_id=user)
    for name, value in fields.items():
        setattr(made, name, value)
    return made


@given(st.text(min_size=1, max_size=300), st.text(min_size=1, max_size=300))
def test_profile_ids_are_safe_bounded_and_different(one: str, other: str) -> None:
    assert not set(profile_id(one)) & set("/\\?#")
    assert len(profile_id(one)) <= 255
    assert (profile_id(one) == profile_id(other)) == (one == other)


@pytest.mark.parametrize("user", ["u1", "a/b#c?d\\e", "漢字 🙂", "x" * 300, "%2F"])
async def test_a_profile_comes_back_as_it_was_written(store: EventStore, user: str) -> None:
    profiles = ProfileStore(store)
    written = profile(user, score=61, counts={"purchase": 1}, purchases={"EUR": 9.99}, position={"00-FF": 7})
    assert await profiles.write([written])
    assert await profiles.get("t1", user) == written


async def test_a_profile_that_was_changed_since_is_not_overwritten(store: EventStore) -> None:
    profiles = ProfileStore(store)
    stale = profile("u")
    assert await profiles.write([stale])
    fresh = await profiles.get("t1", "u")
    assert fresh is not None
    fresh.score = 5
    assert await profiles.write([fresh])
    stale.score = 1
    assert not await profiles.write([stale])
    stored = await profiles.get("t1", "u")
    assert stored is not None
    assert stored.score == 5


async def test_a_profile_that_exists_is_not_created_again(store: EventStore) -> None:
    profiles = ProfileStore(store)
    assert await profiles.write([profile("u", score=5)])
    assert not await profiles.write([profile("u")])


async def test_profiles_are_counted_and_the_best_come_first(store: EventStore) -> None:
    profiles = ProfileStore(store)
    for number in range(5):
        await profiles.write([profile(f"u{number}", score=number)])
    assert await profiles.count() == 5
    assert await profiles.count(user_id="u3") == 1
    assert await profiles.count(tenant_id="t2") == 0
    assert [found.score for found in await profiles.top(limit=2)] == [4, 3]
    assert await profiles.top(tenant_id="t2") == []


async def test_a_user_is_found_whatever_the_score(store: EventStore) -> None:
    profiles = ProfileStore(store)
    for number in range(5):
        assert await profiles.write([profile(f"u{number}", score=number)])

    found = await profiles.top(user_id="u0", limit=2)

    assert [each.user_id for each in found] == ["u0"]
    assert await profiles.top(user_id="u0", tenant_id="another") == []


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 100])
async def test_pages_hold_each_profile_once_whatever_their_size(store: EventStore, limit: int) -> None:
    profiles = ProfileStore(store)
    # Most have the same score, and the tenants' users the same ids.
    stored = [
        profile(f"u {number}", tenant=tenant, score=2 if number == 4 else 1)
        for number in range(5)
        for tenant in ("t1", "t2", "t3")
    ]
    for each in stored:
        assert await profiles.write([each])

    pages: list[Profile] = []
    while page := await profiles.top(limit=limit, after=rank_of(pages[-1]) if pages else None):
        pages += page

    assert [rank_of(each) for each in pages] == [rank_of(each) for each in sorted(stored, key=order_of)]


async def test_pages_of_a_tenant_hold_its_own_profiles_only(store: EventStore) -> None:
    profiles = ProfileStore(store)
    for tenant in ("t1", "t2"):
        for user in "abc":
            assert await profiles.write([profile(user, tenant=tenant)])

    first = await profiles.top(tenant_id="t2", limit=2)
    rest = await profiles.top(tenant_id="t2", limit=2, after=rank_of(first[-1]))

    assert [(each.tenant_id, each.user_id) for each in [*first, *rest]] == [("t2", user) for user in "abc"]
