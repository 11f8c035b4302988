from __future__ import annotations

import msgspec
import pytest

from cloudscale.dashboard.health import Health, assess
from cloudscale.dashboard.points import Point
from cloudscale.dashboard.service_levels import attainments
from cloudscale.pipeline import PipelineSpec
from cloudscale.telemetry.service_levels import Tally

AT = 1000.0
WELL = Point(at=AT, accepted=100.0, persisted=100.0, ingestion=1, workers=1, queue_depth=3, dead_letter_depth=0)
SPEC = PipelineSpec()


def health_of(
    *points: Point, at: float = AT, spec: PipelineSpec = SPEC, tally: Tally | None = None, **changes: object
) -> Health:
    """The health with the well pipeline's figures changed by ``changes``."""
    latest = msgspec.structs.replace(WELL, **changes)
    return assess(points, latest, attainments([tally] if tally else []), spec=spec, at=at)


def test_a_pipeline_without_problems_is_well() -> None:
    assert health_of().state == "good"


def test_a_backlog_is_not_called_well_and_says_when_it_will_be_drained() -> None:
    former = msgspec.structs.replace(WELL, at=AT - 60, queue_depth=74_000)

    found = health_of(former, queue_depth=68_000)

    assert found.state == "bad"
    assert found.message == "68,000 events wait in the queue, 100 fewer a second: drained in about 11 min."


def test_a_growing_backlog_says_how_fast_it_grows() -> None:
    former = msgspec.structs.replace(WELL, at=AT - 30, queue_depth=5_000)

    assert "100 more a second" in health_of(former, queue_depth=8_000).message


def test_a_few_events_that_wait_for_long_are_a_backlog() -> None:
    assert "12 events wait" in health_of(queue_depth=12, oldest_seconds=301.0).message


def test_events_that_grow_and_wait_are_not_called_well_long_before_they_are_a_backlog() -> None:
    former = msgspec.structs.replace(WELL, at=AT - 50, queue_depth=0)

    found = health_of(former, queue_depth=4_900, oldest_seconds=40.0)

    assert found == Health("warn", "4,900 events wait in the queue, 98 more a second.")
    assert health_of(former, queue_depth=4_900, oldest_seconds=2.0).state == "good", "a burst that is worked off"
    assert health_of(former, queue_depth=4_900, oldest_seconds=None).state == "warn"
    assert health_of(former, queue_depth=40, oldest_seconds=None).state == "good"


def test_a_backlog_is_one_where_the_workers_concurrency_has_one_step_too() -> None:
    concurrency = msgspec.structs.replace(SPEC.processing.concurrency, steps=SPEC.processing.concurrency.steps[:1])
    spec = msgspec.structs.replace(SPEC, processing=msgspec.structs.replace(SPEC.processing, concurrency=concurrency))

    assert health_of(spec=spec, queue_depth=68_000).state == "bad"
    assert health_of(spec=spec, queue_depth=4_999).state == "good"


def test_the_most_serious_problem_comes_first() -> None:
    overspent = Tally(at=AT, requests=1000, failed_requests=3)
    former = msgspec.structs.replace(WELL, at=AT - 60, queue_depth=8_000)
    paused = msgspec.structs.replace(SPEC, paused=True)

    idle = health_of(former, workers=0, queue_depth=68_000, oldest_seconds=900.0, tally=overspent)
    assert idle == Health("bad", "No worker is running: 68,000 events wait in the queue, 1,000 more a second.")
    assert "error budget" in health_of(spec=paused, workers=0, queue_depth=68_000, tally=overspent).message
    assert health_of(spec=paused, workers=0, queue_depth=68_000).state == "warn", "paused on purpose"


def test_an_overspent_budget_is_not_called_well() -> None:
    found = health_of(tally=Tally(at=AT, requests=1000, failed_requests=3))

    assert found == Health("bad", "Availability: the error budget of the last hour is overspent, 3 of 1,000 were bad.")


def test_every_overspent_budget_is_named() -> None:
    found = health_of(tally=Tally(at=AT, requests=1000, failed_requests=3, processed=90, dead_lettered=10))

    assert found.state == "bad"
    assert "Availability (3 of 1,000 were bad)" in found.message
    assert "Errors (10 of 100 were bad)" in found.message
    assert found.link == "#/dead-letters"


def test_old_figures_are_named_as_such_whatever_they_say() -> None:
    found = health_of(at=AT + 180, queue_depth=90_000)

    assert found.state == "bad"
    assert found.message.startswith("The figures are 3 min old")


def test_a_paused_pipeline_says_so_and_what_waits() -> None:
    spec = msgspec.structs.replace(SPEC, paused=True)

    found = health_of(spec=spec, workers=0, queue_depth=7)

    assert (found.state, found.message) == (
        "warn",
        "The pipeline is paused: events are accepted and not processed. 7 wait.",
    )


def test_a_pipeline_that_has_scaled_to_zero_is_well_while_nothing_waits() -> None:
    replicas = msgspec.structs.replace(SPEC.processing.replicas, min=0)
    spec = msgspec.structs.replace(SPEC, processing=msgspec.structs.replace(SPEC.processing, replicas=replicas))

    assert health_of(spec=spec, workers=0, queue_depth=0).state == "good"
    assert "No worker is running" in health_of(spec=spec, workers=0, queue_depth=1).message


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ingestion": 0}, "Ingestion is not running"),
        ({"breakers": {"store": 2.0}}, "The circuit breaker of store is open"),
        ({"cache_available": False}, "Redis is away"),
        ({"queue_depth": None}, "The queue's depth cannot be read"),
        ({"lag_p99": 9000.0}, "Events are stored late: 1 in 100 after more than 9 s (target 2 s)"),
        ({"rejections": 10.0, "rate_limited": 15.0}, "20% of what is sent is refused: 25.0 a second"),
        ({"dead_letter_depth": 4}, "4 dead letters wait for a decision"),
    ],
)
def test_a_problem_is_named(changes: dict[str, object], message: str) -> None:
    found = health_of(**changes)  # type: ignore[arg-type] # fields of a point

    assert found.state != "good"
    assert message in found.message
