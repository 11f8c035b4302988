"""A dashboard as a process, with keys of a directory and access tokens that may administer more or less."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from tests.servers.access_directory import administration_of
from tests.servers.cosmos import CosmosServer, cosmos_server
from tests.servers.dashboard import OWN_PAGE, DashboardServer, dashboard_server
from tests.servers.redis import RedisServer, redis_server

from cloudscale.access.new_keys import KeyRights, NewKey
from cloudscale.access.scopes import Scope
from cloudscale.pipeline import Store
from cloudscale.settings import Settings
from cloudscale.store.events import EventStore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.servers.answer import Answer

NAME = "shop"

MANAGER = "manager-0123456789abcdef"
OPERATOR = "operator-0123456789abcdef"
VIEWER = "viewer-0123456789abcdef"
ACME_MANAGER = "acme-manager-0123456789abcdef"
TOKENS: list[dict[str, Any]] = [
    {"token": MANAGER, "name": "mia", "act": True, "manage": True},
    {"token": OPERATOR, "name": "otto", "act": True},
    {"token": VIEWER, "name": "vera"},
    {"token": ACME_MANAGER, "name": "anna", "tenants": ["acme"], "act": True, "manage": True},
]

RIGHTS: dict[str, tuple[str, KeyRights]] = {
    "admin": ("operations", KeyRights(scopes=frozenset({Scope.ADMIN}))),
    "acme-admin": ("acme", KeyRights(scopes=frozenset({Scope.TENANT_ADMIN, Scope.WRITE_EVENTS}))),
    "acme-lone": ("acme", KeyRights(scopes=frozenset({Scope.TENANT_ADMIN}))),
    "acme-purchases": (
        "acme",
        KeyRights(scopes=frozenset({Scope.TENANT_ADMIN, Scope.WRITE_EVENTS}), event_types=frozenset({"purchase"})),
    ),
    "acme-short": ("acme", KeyRights(scopes=frozenset({Scope.TENANT_ADMIN}))),
    "acme-writer": ("acme", KeyRights(scopes=frozenset({Scope.WRITE_EVENTS, Scope.READ_EVENTS}))),
    "acme-root": ("acme", KeyRights(scopes=frozenset({Scope.ADMIN, Scope.TENANT_ADMIN}))),
    "acme-page": ("acme", KeyRights(origins=frozenset({"https://shop.example"}))),
    "rival-admin": ("rival", KeyRights(scopes=frozenset({Scope.TENANT_ADMIN, Scope.WRITE_EVENTS}))),
}
"""Keys that are there from the beginning: their tenants and what they may do."""


LIVES = {"acme-short": timedelta(hours=1)}
"""How long those of them hold that end."""


class Office(NamedTuple):
    """The dashboard, its keys by their names in :data:`RIGHTS`, and its backends."""

    dashboard: DashboardServer
    made: dict[str, NewKey]
    cosmos: CosmosServer
    redis: RedisServer

    def id_of(self, name: str) -> str:
        """The id of a key."""
        return self.made[name].record.id

    def ask(self, who: str, method: str, path: str, content: object = None) -> Answer:
        """What the API answers to the key ``who``."""
        return self.dashboard.call(f"/api/v1{path}", token=self.made[who].text, method=method, content=content)

    def on_page(self, token: str, method: str, path: str, content: object = None) -> Answer:
        """What the dashboard's own page is answered for somebody with this access token."""
        return self.dashboard.call(f"/api/access{path}", token=token, method=method, content=content, headers=OWN_PAGE)

    def new_key(self, **fields: Any) -> dict[str, Any]:
        """A key of acme that was made for one test."""
        answer = self.ask("admin", "POST", "/keys", {"name": "test", "tenantId": "acme", **fields})
        assert answer.status == 201, answer.body
        made: dict[str, Any] = answer.json
        return made


@contextmanager
def office(directory: Path) -> Iterator[Office]:
    """A dashboard whose directory has three tenants, for as long as the context lasts."""
    resource = {"apiVersion": "cloudscale.io/v1alpha1", "kind": "EventPipeline", "metadata": {"name": NAME}}
    (directory / "pipeline.json").write_bytes(msgspec.json.encode(resource))
    with cosmos_server(directory / "cosmos", partition_ranges=2) as cosmos, redis_server(directory / "redis") as redis:
        settings = Settings(
            pipeline_file=str(directory / "pipeline.json"),
            redis_url=redis.url,
            cosmos_connection_string=cosmos.connection_string,
            host="127.0.0.1",
        )
        made = asyncio.run(_made(settings, cosmos, redis))
        with dashboard_server(directory, settings, tokens=TOKENS) as dashboard:
            yield Office(dashboard, made, cosmos, redis)


async def _made(settings: Settings, cosmos: CosmosServer, redis: RedisServer) -> dict[str, NewKey]:
    async with EventStore(Store(), settings) as store:
        await store.ensure()
    async with administration_of(NAME, store=cosmos, cache=redis) as administration:
        for tenant in ("operations", "acme", "rival"):
            await administration.create_tenant(tenant)
        return {
            name: await administration.create_key(tenant, name, rights=rights, expires_in=LIVES.get(name))
            for name, (tenant, rights) in RIGHTS.items()
        }
