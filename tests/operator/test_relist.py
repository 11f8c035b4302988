"""What the watches have missed is found by listing."""

from __future__ import annotations

import asyncio
from asyncio import Event
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from tests.operator.api_server import ApiServer, api_server
from tests.waiting import wait_until

from cloudscale_operator import metrics, runtime
from cloudscale_operator.api import KubernetesApi
from cloudscale_operator.kinds import EVENT_PIPELINE, SERVICE
from cloudscale_operator.options import Options
from cloudscale_operator.relist import missed
from cloudscale_operator.timing import Timing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

WAIT = timedelta(seconds=20)
SERVICE_PATH = "/api/v1/namespaces/shop/services/example-ingestion"


def body(version: int) -> dict[str, Any]:
    return {"metadata": {"resourceVersion": str(version)}}


def test_what_is_not_listed_any_more_is_gone() -> None:
    known = {"a": body(1)}
    assert missed(known, known, {}) == ([known["a"]], [])


def test_what_is_listed_in_another_version_or_for_the_first_time_is_news() -> None:
    known = {"a": body(1), "b": body(2)}
    listed = {"a": body(3), "b": body(2), "c": body(4)}
    assert missed(known, known, listed) == ([], [listed["a"], listed["c"]])


def test_what_the_watch_told_of_while_the_list_was_made_is_left_alone() -> None:
    before = {"a": body(1), "b": body(1), "gone": body(1)}
    now = {"a": body(5), "b": body(5), "new": body(6)}
    assert missed(before, now, {"a": body(1), "gone": body(1)}) == ([], [])


@pytest.fixture
def server() -> Iterator[ApiServer]:
    with api_server() as running:
        yield running


@asynccontextmanager
async def operator(server: ApiServer, *, namespaces: tuple[str, ...] = ()) -> AsyncIterator[runtime.Operator]:
    """An operator without any watch."""
    timing = Timing(settle_seconds=0.0, relist_seconds=0.05)
    options, ended = Options(image="cloudscale:test", namespaces=namespaces), Event()
    async with runtime.running(server.client(), options, ended=ended.set, timing=timing) as started:
        yield started
    assert not ended.is_set()


async def test_a_child_whose_deletion_no_watch_has_told_comes_back(server: ApiServer) -> None:
    server.add_pipeline(spec={})
    async with operator(server):
        await wait_until(lambda: _now(SERVICE_PATH in server.objects), within=WAIT)
        server.remove(SERVICE_PATH)
        await wait_until(lambda: _now(SERVICE_PATH in server.objects), within=WAIT)


async def test_a_pipeline_whose_deletion_no_watch_has_told_is_forgotten(server: ApiServer) -> None:
    server.add_pipeline("ghost", spec={})
    labels = {"namespace": "shop", "pipeline": "ghost"}

    def reported() -> bool:
        return metrics.REGISTRY.get_sample_value("cloudscale_pipeline_ready", labels) is not None

    async with operator(server) as running:
        await wait_until(lambda: _now(reported()), within=WAIT)
        server.objects.clear()
        await wait_until(lambda: _now(not running.known(EVENT_PIPELINE) and not reported()), within=WAIT)


async def test_only_the_watched_namespaces_are_listed(server: ApiServer) -> None:
    server.add_pipeline(spec={})
    server.add_pipeline(namespace="elsewhere", spec={})
    async with operator(server, namespaces=("shop",)) as running:
        await wait_until(lambda: _now(bool(running.known(EVENT_PIPELINE))), within=WAIT)
        assert list(running.known(EVENT_PIPELINE)) == [("shop", "example")]
    assert not [path for _, path in server.requests if path.endswith("/services") and "/shop/" not in path]


async def test_a_list_that_is_refused_takes_nothing_away(server: ApiServer) -> None:
    server.add_pipeline(spec={})
    async with operator(server) as running:
        await wait_until(lambda: _now(len(running.known(SERVICE)) == 3), within=WAIT)
        server.refusals["/api/v1/services"] = 403
        seen = server.requests.count(("GET", "/api/v1/services"))
        await wait_until(lambda: _now(server.requests.count(("GET", "/api/v1/services")) > seen + 1), within=WAIT)
        assert len(running.known(SERVICE)) == 3


async def test_a_long_list_is_read_page_by_page(server: ApiServer) -> None:
    server.page = 2
    for number in range(5):
        server.add_pipeline(f"example-{number}", spec={})
    async with KubernetesApi(server.client()) as api:
        found = await api.read_all(EVENT_PIPELINE, namespace=None, selector="")
    assert [item["metadata"]["name"] for item in found] == [f"example-{number}" for number in range(5)]
    assert {item["kind"] for item in found} == {"EventPipeline"}
    assert not [item for item in found if "managedFields" in item["metadata"]]


async def _now(value: bool) -> bool:
    await asyncio.sleep(0)
    return value
