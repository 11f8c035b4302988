from __future__ import annotations

from typing import Any

from cloudscale.telemetry.activity import FORGOTTEN_SECONDS, Progress, between, during, growth
from cloudscale.telemetry.distribution import Distribution
from cloudscale.telemetry.figures import Figures


def figures(process: str = "a", *, at: float, **rest: Any) -> Figures:
    given: dict[str, Any] = {"role": "ingestion", "process": process, "started_at": 0.0, "at": at}
    return Figures(**given | rest)


def test_counts_are_the_growth_between_two_readings() -> None:
    earlier = figures(at=10.0, accepted={"page_view": {"contoso": 100.0}}, responses={"202": 90.0})
    later = figures(at=12.0, accepted={"page_view": {"contoso": 140.0, "fabrikam": 5.0}}, responses={"202": 95.0})

    activity = between([earlier], [later])

    assert activity.seconds == 2.0
    assert activity.accepted == 45
    assert activity.accepted_by_tenant == {"contoso": 40, "fabrikam": 5}
    assert activity.responses == {"202": 5}


def test_processes_are_added_up() -> None:
    earlier = [figures(name, at=10.0, role="worker", persisted={"purchase": {"x": 1.0}}) for name in ("a", "b")]
    later = [figures(name, at=11.0, role="worker", persisted={"purchase": {"x": 4.0}}) for name in ("a", "b")]

    activity = between(earlier, later)

    assert activity.persisted == 6
    assert activity.worker_processes == 2


def test_a_process_that_started_in_between_counts_from_zero() -> None:
    new = figures("new", at=12.0, started_at=11.0, accepted={"page_view": {"x": 7.0}})

    assert between([figures(at=10.0)], [figures(at=12.0), new]).accepted == 7


def test_the_past_of_a_process_that_the_reader_had_missed_is_not_counted() -> None:
    old = figures("old", at=12.0, started_at=1.0, accepted={"page_view": {"x": 7000.0}})

    assert between([figures(at=10.0)], [figures(at=12.0), old]).accepted == 0
    assert between([], [old]).accepted == 0


def test_a_process_that_the_first_of_some_readings_missed_counts_from_the_earliest_that_knows_it() -> None:
    steady = [figures(at=at) for at in (10.0, 11.0, 12.0)]
    old = [figures("old", at=at, started_at=1.0, accepted={"page_view": {"x": at * 100}}) for at in (11.0, 12.0)]

    activity = during([steady[:1], [steady[1], old[0]], [steady[2], old[1]]], since=10.0)

    assert (activity.accepted, activity.started, activity.seconds) == (100, 0, 2.0)


def test_the_first_reading_of_all_counts_what_started_within_the_span() -> None:
    new = figures("new", at=12.0, started_at=9.0, accepted={"page_view": {"x": 6.0}})
    old = figures("old", at=12.0, started_at=8.9, accepted={"page_view": {"x": 7000.0}})

    activity = during([[new, old]], since=9.0)

    assert (activity.accepted, activity.started, activity.seconds) == (6, 1, 3.0)


def test_a_process_that_the_first_reading_knows_does_not_count_twice() -> None:
    young = [figures(at=at, started_at=9.5, accepted={"page_view": {"x": at}}) for at in (10.0, 11.0)]

    assert between([young[0]], [young[1]]).accepted == 1
    assert during([[young[0]], [young[1]]], since=8.0).accepted == 1


def test_progress_leaves_nothing_out_of_a_process_that_a_reading_missed() -> None:
    count = {at: {"page_view": {"x": at * 10}} for at in (1.0, 2.0, 3.0, 4.0)}
    progress = Progress([figures(at=1.0, accepted=count[1.0])], since=0.5)

    # It started before the second reading, which came before it was published; the third missed the other one.
    done = [
        progress.to([figures(at=2.0, accepted=count[2.0])]),
        progress.to([figures("new", at=3.0, started_at=1.5, accepted=count[3.0])]),
        progress.to([figures(at=4.0, accepted=count[4.0]), figures("new", at=4.0, accepted=count[4.0])]),
    ]

    assert [activity.accepted for activity in done] == [10, 30, 20 + 10]


def test_progress_counts_what_began_with_it() -> None:
    new = figures("new", at=2.0, started_at=1.5, accepted={"page_view": {"x": 5.0}})
    progress = Progress([new, figures("old", at=2.0, accepted={"page_view": {"x": 7000.0}})], since=1.0)

    assert progress.to([new]).accepted == 5
    assert progress.to([new]).accepted == 0


def test_progress_forgets_processes_that_are_long_gone() -> None:
    progress = Progress([figures("gone", at=1.0, accepted={"page_view": {"x": 5.0}})], since=0.5)
    later = 1.0 + FORGOTTEN_SECONDS
    progress.to([figures(at=later)])

    assert progress.to([figures("gone", at=later + 1, accepted={"page_view": {"x": 9.0}})]).accepted == 0


def test_a_process_that_has_gone_takes_nothing_away() -> None:
    gone = figures("gone", at=10.0, accepted={"page_view": {"x": 50.0}})
    stays = [figures(at=at, accepted={"page_view": {"x": count}}) for at, count in ((10.0, 1.0), (12.0, 4.0))]

    assert between([gone, stays[0]], [stays[1]]).accepted == 3


def test_distributions_hold_what_was_observed_in_between() -> None:
    before = Distribution(bounds=(1.0, 2.0), counts=(5.0, 0.0, 0.0), total=2.0)
    after = Distribution(bounds=(1.0, 2.0), counts=(5.0, 4.0, 0.0), total=8.0)

    activity = between([figures(at=1.0, lag_seconds=before)], [figures(at=2.0, lag_seconds=after)])

    assert activity.lag_seconds.count == 4
    assert activity.lag_seconds.mean == 1.5


def test_the_state_is_the_worst_of_all_processes() -> None:
    good = figures("a", at=2.0, role="worker", concurrency_limit=32, breakers={"store": 0.0})
    bad = figures("b", at=2.0, role="worker", concurrency_limit=4, breakers={"store": 2.0}, cache_available=False)

    activity = between([], [good, bad])

    assert activity.concurrency_limit == 4
    assert activity.breakers == {"store": 2}
    assert not activity.cache_available


def test_what_has_not_grown_is_left_out() -> None:
    assert growth({"a": 1.0, "b": 2.0}, {"a": 1.0, "b": 3.0, "c": 1.0}) == {"b": 1.0, "c": 1.0}
