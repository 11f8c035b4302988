from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from cloudscale.store.feed_range import FeedRange
from cloudscale.store.profiles import Profile
from cloudscale.worker.scoring import Change, apply, change_of

WHOLE = FeedRange("", "FF")
SCORING = {"page_view": 1, "user_action": 10, "purchase": 50}


def profile() -> Profile:
    return Profile(id="u", partition_key="t:0", tenant_id="t", user_id="u")


def event(lsn: int, event_type: str = "page_view", **fields: Any) -> Change:
    created_at = f"2024-05-01T10:00:{lsn % 60:02d}.000000Z"
    document = {"_lsn": lsn, "eventType": event_type, "createdAt": created_at, "tenantId": "t", "userId": "u", **fields}
    change = change_of(document)
    assert change is not None
    return change


def test_a_purchase_adds_its_points_and_its_amount() -> None:
    user = profile()
    changes = [
        event(1, "purchase", amount=0.1, currency="EUR"),
        event(2, "purchase", amount=0.2, currency="EUR"),
        event(3, "purchase", amount=5, currency="USD"),
        event(4, "custom"),
    ]
    assert apply(user, changes, of=WHOLE, scoring=SCORING)
    assert user.score == 150
    assert user.purchases == {"EUR": 0.3, "USD": 5}
    assert user.counts == {"purchase": 3, "custom": 1}
    assert (user.first_seen, user.last_seen) == ("2024-05-01T10:00:01.000000Z", "2024-05-01T10:00:04.000000Z")


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), max_size=20))
def test_events_read_any_number_of_times_in_order_count_once(reads: list[tuple[int, int]]) -> None:
    user = profile()
    events = [event(lsn) for lsn in range(20)]
    reached = 0
    for back, forward in reads:
        start, end = max(0, reached - back), min(20, reached + forward)
        apply(user, events[start:end], of=WHOLE, scoring=SCORING)
        reached = max(reached, end)
    assert user.score == user.events == reached


def test_events_that_were_stored_in_one_transaction_share_a_number_and_all_count() -> None:
    user = profile()
    changes = [event(7), event(7), event(7, "user_action")]
    assert apply(user, changes, of=WHOLE, scoring=SCORING)
    assert not apply(user, changes, of=WHOLE, scoring=SCORING)
    assert (user.events, user.score) == (3, 12)


def test_nothing_new_changes_nothing() -> None:
    user = profile()
    changes = [event(5)]
    assert apply(user, changes, of=WHOLE, scoring=SCORING)
    assert not apply(user, changes, of=WHOLE, scoring=SCORING)


def test_the_parts_of_a_split_range_go_on_where_it_ended() -> None:
    user = profile()
    apply(user, [event(5)], of=WHOLE, scoring=SCORING)
    lower, upper = FeedRange("", "80"), FeedRange("80", "FF")
    assert not apply(user, [event(4), event(5)], of=lower, scoring=SCORING)
    assert apply(user, [event(6)], of=lower, scoring=SCORING)
    assert apply(user, [event(6)], of=upper, scoring=SCORING)
    assert user.events == 3


def test_ranges_have_numbers_of_their_own() -> None:
    user = profile()
    lower, upper = FeedRange("", "80"), FeedRange("80", "FF")
    assert apply(user, [event(9)], of=lower, scoring=SCORING)
    assert apply(user, [event(2)], of=upper, scoring=SCORING)
    assert user.events == 2
