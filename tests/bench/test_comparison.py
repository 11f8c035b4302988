from __future__ import annotations

from typing import Any

import pytest
from bench.comparison import busy_seconds, per_event, ratios, summary
from bench.load import Load
from bench.processes import TICKS_A_SECOND


def figures(*, rate: float, p99: float, **costs: float) -> dict[str, Any]:
    return {
        "acceptedPerSecond": rate,
        "latencyMilliseconds": {"p50": p99 / 4, "p99": p99},
        "cpuMicrosecondsPerEvent": costs,
    }


def test_the_share_counts_refused_and_failed_requests_as_sent() -> None:
    seen = Load(
        sent=200, statuses={"202": 150, "503": 30}, errors={"timeout": 20}, seconds=10, latencies={"p50": 1.234},
        refused_p99=None, cpu_seconds=0.01,
    )  # fmt: skip

    found = summary(seen, offered=0)

    assert found["acceptedShare"] == 0.75
    assert found["acceptedPerSecond"] == 15
    assert found["latencyMilliseconds"] == {"p50": 1.23}
    assert found["generatorCpuMicrosecondsPerRequest"] == 50


def test_the_share_counts_requests_that_were_due_and_never_sent_as_refused() -> None:
    seen = Load(
        sent=150, statuses={"202": 150}, errors={}, seconds=10, latencies={}, refused_p99=None, cpu_seconds=0.01
    )

    found = summary(seen, offered=200)

    assert found["offered"] == 200
    assert found["acceptedShare"] == 0.75


def test_the_total_cost_is_the_sum_of_all_processes() -> None:
    assert per_event({"ingestion": 0.5, "store": 0.25}, 10_000) == {"ingestion": 50, "store": 25, "total": 75}


def test_waiting_is_no_work_and_stolen_time_is() -> None:
    idle = "cpu  100 10 50 100000 9000 5 15 20 0 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n"

    assert busy_seconds(idle) == 200 / TICKS_A_SECOND


def test_a_ratio_is_ours_divided_by_theirs() -> None:
    found = ratios(
        {
            "cloudscale": figures(rate=3000, p99=20, ingestion=50, worker=40, total=120),
            "benthos": figures(rate=2000, p99=40, ingestion=200, worker=80, total=300),
        }
    )

    assert found["benthos"] == {
        "acceptedPerSecond": 1.5,
        "p50": 0.5,
        "p99": 0.5,
        "ingestionCpu": 0.25,
        "workerCpu": 0.5,
        "totalCpu": 0.4,
    }


def test_there_is_no_ratio_to_a_process_that_the_other_does_not_have() -> None:
    found = ratios(
        {
            "cloudscale": figures(rate=3000, p99=20, ingestion=50, worker=40, total=120),
            "bare": figures(rate=9000, p99=2, ingestion=30, total=30),
        }
    )

    assert found["bare"]["workerCpu"] is None
    assert found["bare"]["totalCpu"] == 4


@pytest.mark.parametrize("rate", [0, 0.0])
def test_there_is_no_ratio_to_one_that_accepted_nothing(rate: float) -> None:
    found = ratios({"cloudscale": figures(rate=3000, p99=20), "benthos": figures(rate=rate, p99=0)})

    assert found["benthos"]["acceptedPerSecond"] is None
