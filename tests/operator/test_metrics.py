from __future__ import annotations

import pytest
from prometheus_client import generate_latest

from cloudscale_operator import metrics


@pytest.mark.parametrize(
    "series",
    [
        'cloudscale_operator_api_requests_total{method="PATCH"}',
        'cloudscale_operator_reconcile_errors_total{error="unexpected"}',
    ],
)
def test_a_counter_is_there_before_its_first_event(series: str) -> None:
    assert f"\n{series} " in generate_latest(metrics.REGISTRY).decode()
