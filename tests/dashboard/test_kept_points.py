from __future__ import annotations

import msgspec
from structlog.testing import capture_logs

from cloudscale.dashboard.kept_points import read_kept
from cloudscale.dashboard.points import Point


def test_points_that_another_version_wrote_are_left_out_and_told_of_in_one_line() -> None:
    kept = msgspec.json.encode(Point(at=7.0))
    with capture_logs() as lines:
        points = read_kept([kept, *[b'{"at":"yesterday"}'] * 500, b"[]", kept], Point, key="history:day")

    assert points == [Point(at=7.0)] * 2
    [line] = lines
    assert (line["points"], line["key"]) == (501, "history:day")


def test_nothing_is_told_where_all_points_are_known() -> None:
    with capture_logs() as lines:
        read_kept([msgspec.json.encode(Point(at=7.0))], Point, key="history:day")

    assert lines == []
