from __future__ import annotations

import pytest
from tests.telemetry.busy_activity import BUSY

from cloudscale.dashboard.points import Gauges, Point, as_columns, point_of, restricted
from cloudscale.telemetry.activity import Activity


def test_a_point_holds_rates_a_second_and_milliseconds() -> None:
    point = point_of(BUSY, Gauges(queue_depth=3, in_flight=7), at=100.0)

    assert point.accepted == 20
    assert point.persisted == 18
    assert point.by_tenant == {"contoso": 12.5, "fabrikam": 7.5}
    assert point.error_share == pytest.approx(2 / 44, abs=1e-4)
    assert point.p50 is not None
    assert 0 < point.p50 <= 100
    assert point.queue_depth == 3
    assert point.dead_letter_depth is None


def test_without_requests_there_is_no_error_share_and_no_time() -> None:
    point = point_of(Activity(seconds=2.0), Gauges(), at=1.0)

    assert point.error_share is None
    assert point.p99 is None


def test_a_viewer_of_one_tenant_sees_nothing_of_the_others() -> None:
    point = restricted(point_of(BUSY, Gauges(queue_depth=3), at=1.0), frozenset({"contoso"}))

    assert point.by_tenant == {"contoso": 12.5}
    assert point.accepted == 12.5
    assert point.by_type == {}
    assert point.queue_depth is None
    assert point.dead_lettered == 0


def test_a_viewer_of_everything_sees_the_point_itself() -> None:
    point = point_of(BUSY, Gauges(), at=1.0)

    assert restricted(point, None) is point


def test_columns_are_as_long_as_the_series_also_for_what_came_later() -> None:
    columns = as_columns([Point(at=1.0), Point(at=2.0, accepted=5.0, by_type={"purchase": 5.0})])

    assert columns["at"] == [1.0, 2.0]
    assert columns["accepted"] == [0.0, 5.0]
    assert columns["byType"] == {"purchase": [0.0, 5.0]}
    assert columns["queueDepth"] == [None, None]
