from __future__ import annotations

from typing import Any

from bench.measurement import failures, median
from bench.scenarios import Bounds, Scenario

SCENARIO = Scenario(name="s", title="s", rate=100, seconds=10, bounds=Bounds(p99_milliseconds=200, accepted_share=1))


def run(**changed: Any) -> dict[str, Any]:
    return {
        "offered": 1000,
        "sent": 1000,
        "accepted": 1000,
        "acceptedByServer": 1000,
        "statuses": {"202": 1000},
        "latencyMilliseconds": {"p50": 5.0, "p99": 20.0},
        "refusedP99Milliseconds": None,
        "persistedPerSecond": 100.0,
        "drainSeconds": 1.0,
        "verified": True,
        "survived": True,
        "failures": [],
        **changed,
    }


def test_a_run_within_its_bounds_has_no_failures() -> None:
    assert failures(SCENARIO, run(), 1000) == []


def test_each_broken_bound_is_named() -> None:
    found = failures(
        SCENARIO, run(accepted=990, survived=False, verified=False, latencyMilliseconds={"p99": 201.0}), 990
    )
    assert found == [
        "the server counts 1000 accepted events, the generator saw 990",
        "cloudscale verify does not say zero lost",
        "a process died",
        "p99 is 201.0, above 200",
        "99.00% of the requests were accepted, not 100%",
    ]


def test_requests_that_were_due_and_never_sent_are_a_failure() -> None:
    sent = {"sent": 990, "accepted": 990, "acceptedByServer": 990}
    assert failures(SCENARIO, run(**sent), 990) == ["only 990 of 1000 requests were sent before the time was over"]


def test_what_only_some_runs_have_is_not_forgotten() -> None:
    runs = [
        run(statuses={"202": 998, "503": 2}, failures=["a process died"], survived=False),
        run(latencyMilliseconds={"p50": 7.0, "p99": 22.0}),
        run(latencyMilliseconds={"p50": 6.0, "p99": 21.0}),
    ]
    found = median(runs)
    assert found["statuses"] == {"202": 1000, "503": 0}
    assert found["latencyMilliseconds"] == {"p50": 6.0, "p99": 21.0}
    assert found["survived"] is False
    assert found["failures"] == ["a process died"]
    assert found["refusedP99Milliseconds"] is None
