"""Moments as clients write them, and as they are stored."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudscale.events.timestamps import as_utc, is_moment, without_leap_second

OFFSETS = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@given(st.datetimes(min_value=datetime(1971, 1, 1), max_value=datetime(2100, 1, 1), timezones=OFFSETS))  # noqa: DTZ001
def test_a_moment_is_utc_with_microseconds(moment: datetime) -> None:
    text = as_utc(moment)

    assert len(text) == len("2026-01-01T00:00:00.000000Z")
    assert datetime.fromisoformat(text) == moment


@given(st.lists(st.datetimes(min_value=datetime(1971, 1, 1), timezones=st.just(UTC)), min_size=2, max_size=5))  # noqa: DTZ001
def test_texts_sort_like_the_moments(moments: list[datetime]) -> None:
    assert sorted(map(as_utc, moments)) == [as_utc(moment) for moment in sorted(moments)]


def test_an_offset_is_taken_out_of_a_moment() -> None:
    moment = datetime(2026, 1, 31, 23, 30, tzinfo=timezone(timedelta(hours=-1)))

    assert as_utc(moment) == "2026-02-01T00:30:00.000000Z"


@pytest.mark.parametrize(
    ("text", "clamped"),
    [
        ("2016-12-31T23:59:60Z", "2016-12-31T23:59:59.999999Z"),
        ("2016-12-31T23:59:60.5Z", "2016-12-31T23:59:59.999999Z"),
        ("2017-01-01T00:59:60+01:00", "2017-01-01T00:59:59.999999+01:00"),
        ("2016-12-31T15:59:60-08:00", "2016-12-31T15:59:59.999999-08:00"),
    ],
)
def test_a_leap_second_is_the_end_of_its_day(text: str, clamped: str) -> None:
    assert without_leap_second(text) == clamped
    assert is_moment(text)


@pytest.mark.parametrize("text", ["2016-12-31T12:00:60Z", "2016-12-31T23:59:60+01:00", "2016-02-30T23:59:60Z", "60"])
def test_a_second_60_at_any_other_time_is_none(text: str) -> None:
    assert without_leap_second(text) == text
    assert not is_moment(text)


@pytest.mark.parametrize("value", ["lunchtime", "2018-04-05T18:31Z", "2018-04-05T18:31:00", "", 5, None])
def test_what_is_no_moment_is_none(value: object) -> None:
    assert not is_moment(value)
