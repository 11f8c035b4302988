"""The directory of tenants and keys of a pipeline under test, changed as an administrator changes it."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from cloudscale.access.administration import Administration
from cloudscale.access.container import open_access
from cloudscale.access.shared_cache import SharedCache
from cloudscale.cache.connection import open_redis
from cloudscale.cache.keys import Keys
from cloudscale.pipeline import Store
from cloudscale.settings import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.servers.cosmos import CosmosServer
    from tests.servers.redis import RedisServer


@asynccontextmanager
async def administration_of(name: str, *, store: CosmosServer, cache: RedisServer) -> AsyncIterator[Administration]:
    """The administration of the pipeline with this name in the namespace default, whose store is the default one."""
    settings = Settings(pipeline_file="", redis_url="", cosmos_connection_string=store.connection_string)
    async with open_access(Store(), settings) as container, open_redis(cache.url) as redis:
        yield Administration(container, SharedCache(redis, keys=Keys(namespace="default", name=name)))
