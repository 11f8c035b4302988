from __future__ import annotations

import pytest

from cloudscale.dashboard.service_levels import attainments
from cloudscale.telemetry.service_levels import Tally


def levels(*tallies: Tally) -> dict[str, tuple[float | None, float]]:
    return {level.name: (level.attained, level.budget_left) for level in attainments(tallies)}


def test_without_traffic_nothing_is_attained_and_no_budget_is_used() -> None:
    assert set(levels().values()) == {(None, 1.0)}


def test_half_of_the_allowed_failures_leave_half_of_the_budget() -> None:
    attained, left = levels(Tally(at=1.0, requests=10_000, failed_requests=5))["availability"]

    assert attained == pytest.approx(0.9995)
    assert left == pytest.approx(0.5)


def test_more_failures_than_allowed_overspend_the_budget() -> None:
    _, left = levels(Tally(at=1.0, requests=1000, failed_requests=3))["availability"]

    assert left == pytest.approx(-2.0)


def test_tallies_are_added_up() -> None:
    some = [Tally(at=float(at), ingested=100, ingested_in_time=100 - at) for at in range(3)]

    attained, left = levels(*some)["ingestion_speed"]

    assert attained == pytest.approx(297 / 300)
    assert left == pytest.approx(0.0, abs=1e-9)


def test_dead_letters_are_errors_among_all_events_that_ended() -> None:
    attained, _ = levels(Tally(at=1.0, processed=999, processed_in_time=999, dead_lettered=1))["errors"]

    assert attained == pytest.approx(0.999)
