from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cloudscale.emulators.servicebus.deadlines import Deadlines


@given(st.dictionaries(st.integers(), st.integers(0, 1000)), st.integers(0, 1000))
def test_keys_come_out_when_they_are_due_and_in_order(moments: dict[int, int], now: int) -> None:
    deadlines: Deadlines[int] = Deadlines(moments.get)
    for key, moment in moments.items():
        deadlines.push(moment, key)
    due = [moments[key] for key in deadlines.due(now)]
    assert due == sorted(moment for moment in moments.values() if moment <= now)


def test_a_key_that_was_moved_is_due_once() -> None:
    moments = {"key": 5}
    deadlines: Deadlines[str] = Deadlines(moments.get)
    deadlines.push(5, "key")
    moments["key"] = 9
    deadlines.push(9, "key")
    assert list(deadlines.due(8)) == []
    assert list(deadlines.due(9)) == ["key"]


def test_cancelled_keys_do_not_pile_up() -> None:
    moments: dict[int, int] = {}
    deadlines: Deadlines[int] = Deadlines(moments.get)
    for key in range(100_000):
        moments[key] = key
        deadlines.push(key, key)
        del moments[key]
    assert len(deadlines) <= Deadlines.REBUILD_ABOVE
