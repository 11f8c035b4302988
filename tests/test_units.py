"""Durations and quantities."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudscale.errors import ConfigurationError
from cloudscale.units import format_duration, parse_duration, parse_quantity


@pytest.mark.parametrize(
    ("text", "seconds"), [("500ms", 0.5), ("30s", 30), ("1h30m", 5400), ("1.5h", 5400), ("0s", 0), ("336h", 1_209_600)]
)
def test_a_duration_is_the_sum_of_its_parts(text: str, seconds: float) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "5", "s", "-1s", "1d", "1 s", "1s ", "1µs", "1e3s"])
def test_text_without_number_and_unit_is_no_duration(text: str) -> None:
    with pytest.raises(ConfigurationError, match="is not a duration"):
        parse_duration(text)


@given(st.integers(min_value=0, max_value=10**12))
def test_a_written_duration_is_read_back(milliseconds: int) -> None:
    duration = timedelta(milliseconds=milliseconds)
    assert parse_duration(format_duration(duration)) == duration


@pytest.mark.parametrize(
    ("text", "number"), [("250m", 0.25), ("2", 2), ("1.5", 1.5), ("512Mi", 512 * 1024**2), ("5G", 5e9), ("1k", 1000)]
)
def test_a_quantity_is_read_into_its_plain_number(text: str, number: float) -> None:
    assert parse_quantity(text) == number


@pytest.mark.parametrize("text", ["", "Mi", "-1", "512MB", "1 Gi", "5gi"])
def test_text_of_another_form_is_no_quantity(text: str) -> None:
    with pytest.raises(ConfigurationError, match="is not a quantity"):
        parse_quantity(text)
