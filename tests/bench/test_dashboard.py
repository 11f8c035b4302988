from __future__ import annotations

from bench.dashboard import without_values


def test_paths_of_two_runs_have_one_name() -> None:
    event = {"eventId": "e1", "correlationId": "c1", "userId": "visitor-1", "tenantId": "contoso"}

    assert without_values("/api/events/e1?tenant=contoso", event) == "/api/events/{eventId}?tenant={tenantId}"
