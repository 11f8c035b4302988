"""What all tests have in common: that no process gives way to the others, patience, and what a run has left out."""

from __future__ import annotations

import gc
import os
import shutil
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from tests.absent_tools import absent, left_out
from tests.file_durations import (  # noqa: F401 - hooks
    pytest_collection_modifyitems,
    pytest_configure,
    pytest_xdist_make_scheduler,
)
from tests.servers.azurite import AzuriteServer
from tests.servers.cosmos import CosmosServer, cosmos_server
from tests.servers.process import running
from tests.servers.redis import RedisServer, redis_server

from cloudscale.settings import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Generator, Iterator

# With more processes than processors an example may take long to draw or to run.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

# Tests run side by side: a pipeline's workers would wait not only for its requests, but for all other tests.
os.environ["CLOUDSCALE_NICENESS"] = "0"


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection() -> Generator[None, object, object]:
    """Look for no garbage while tests are collected, nor later among what that has made: it stays to the end."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> Generator[None, None, None]:
    """Say in a sentence what was left out because a program is missing, and what brings it."""
    yield
    skipped = [report.longrepr for report in terminalreporter.getreports("skipped")]
    if sentence := left_out(str(each[2]) for each in skipped if isinstance(each, tuple)):
        terminalreporter.section("what this run left out")
        terminalreporter.write_line(sentence)


@pytest.fixture(scope="module")
def cache_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A Redis of a file's own: its tests may kill it, start it again and delete everything in it."""
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
async def redis(cache_server: RedisServer) -> AsyncIterator[Redis]:
    """A client of an empty Redis. It tries nothing twice, so that a test sees what one call does."""
    async with Redis.from_url(cache_server.url, socket_timeout=10, retry=Retry(NoBackoff(), 0)) as client:
        await client.flushall()
        yield client


@pytest.fixture(scope="session")
def cosmos(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CosmosServer]:
    """A store for all tests that break nothing: each makes a database or a container of its own in it."""
    with cosmos_server(tmp_path_factory.mktemp("cosmos"), partition_ranges=2) as server:
        yield server


@pytest.fixture(scope="session")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AzuriteServer]:
    """Blob storage for all tests that break nothing: each makes a container of its own in it."""
    if shutil.which("azurite-blob") is None:
        pytest.skip(absent("azurite-blob"))
    with running(AzuriteServer(tmp_path_factory.mktemp("azurite"))) as server:
        yield server


@pytest.fixture(name="settings")
def settings_of_the_store(cosmos: CosmosServer) -> Settings:
    """Settings of what needs that store and nothing else."""
    return Settings(pipeline_file="", redis_url="", cosmos_connection_string=cosmos.connection_string)
