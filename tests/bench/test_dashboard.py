from __future__ import annotations

from bench.dashboard import without_values


def test_paths_of_two_runs_have_one_name() -> None:
    event = {"eventId": "e1", "correlationId": "c1", "userId": "visitor-1", "tenantId": "contoso"}

    assert without_values("/api/events/e1?tenant=contoso", event) == "/api/events/{eventId}?tenant={tenantId}"


def test_the_place_that_a_page_goes_on_at_is_named_too() -> None:
    event = {"eventId": "e1", "correlationId": "c1", "userId": "visitor-1", "tenantId": "contoso", "cursor": "Zm9v"}

    assert without_values("/api/v1/events?cursor=Zm9v", event) == "/api/v1/events?cursor={cursor}"
