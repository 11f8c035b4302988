from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest
from redis.asyncio import Redis
from tests.dashboard.tokens import CONTOSO, READER, TOKENS
from tests.servers.dashboard import DashboardServer, dashboard_server, lone_settings

from cloudscale.cache.keys import Keys
from cloudscale.dashboard.access import Viewer
from cloudscale.dashboard.refusals import as_page
from cloudscale.telemetry.refusals import Group, RefusalStore, Refused, Sample

if TYPE_CHECKING:
    from collections.abc import Iterator

EVERYBODY = Viewer("ann")
REFUSED = {
    Group(400, "validation", "contoso", "10.0.0.1", "/url"): 5,
    Group(400, "validation", "fabrikam", "10.0.0.1", "/amount"): 3,
    Group(429, "limit-client", "", "10.0.0.2"): 20,
    Group(400, "validation"): 7,
}


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DashboardServer]:
    """A dashboard whose Redis knows refusals."""
    directory = tmp_path_factory.mktemp("alone")
    with lone_settings(directory) as settings:
        asyncio.run(fill(settings.redis_url))
        with dashboard_server(directory / "dashboard", settings, tokens=TOKENS) as dashboard:
            yield dashboard


async def fill(url: str) -> None:
    async with Redis.from_url(url) as redis:
        store = RefusalStore(redis, key_prefix=Keys(namespace="default", name="alone").refused)
        sample = Sample(time.time(), "1 wrong", "c-1", "{}")
        await store.add([(group, count, sample if group.client else None) for group, count in REFUSED.items()])


def page(viewer: Viewer = EVERYBODY, **chosen: str) -> dict[str, Any]:
    return as_page({group: Refused(count, 1) for group, count in REFUSED.items()}, viewer=viewer, chosen=chosen)


def test_refusals_are_summed_up_by_everything_they_have() -> None:
    shown = page()

    assert shown["refused"] == 35
    assert shown["withoutPlace"] == 7
    assert shown["by"]["reason"] == [{"value": "limit-client", "count": 20}, {"value": "validation", "count": 15}]
    assert {"value": "10.0.0.1", "count": 8} in shown["by"]["client"]
    assert [row["count"] for row in shown["groups"]] == [20, 7, 5, 3]


def test_a_chosen_value_narrows_everything_down() -> None:
    shown = page(reason="validation", client="10.0.0.1")

    assert shown["refused"] == 8
    assert [each["value"] for each in shown["by"]["field"]] == ["/url", "/amount"]


def test_a_tenant_s_viewer_sees_nothing_of_others_nor_of_nobody() -> None:
    shown = page(Viewer("bob", frozenset({"contoso"})))

    assert shown["refused"] == 5
    assert shown["withoutPlace"] == 0
    assert [row["tenantId"] for row in shown["groups"]] == ["contoso"]
    assert shown["by"]["client"] == [{"value": "10.0.0.1", "count": 5}]


def test_the_api_answers_each_viewer_with_what_is_his(alone: DashboardServer) -> None:
    everything = alone.call("/api/refused", token=READER).json
    own = alone.call("/api/refused", token=CONTOSO).json

    assert everything["refused"] == 35
    assert own["refused"] == 5
    assert own["groups"][0]["samples"][0]["detail"] == "1 wrong"


def test_a_tenant_s_viewer_cannot_ask_for_another(alone: DashboardServer) -> None:
    assert alone.call("/api/refused?tenant=fabrikam", token=CONTOSO).status == 403


def test_nobody_sees_them_without_a_token(alone: DashboardServer) -> None:
    assert alone.call("/api/refused").status == 401


@pytest.mark.parametrize("hours", ["0", "25", "x", "-1", "9" * 5000])
def test_a_span_that_is_not_kept_is_refused(alone: DashboardServer, hours: str) -> None:
    assert alone.call(f"/api/refused?hours={hours}", token=READER).status == 400
