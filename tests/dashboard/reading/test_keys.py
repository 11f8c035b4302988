"""The reading API of a dashboard as a process, with keys of the directory in the store."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import pytest
from msgspec import structs
from tests.servers.dashboard import DashboardServer, dashboard_server
from tests.store.creating import create_all
from tests.store.test_creation_order import created
from tests.waiting import wait_until

from cloudscale.access.administration import Administration
from cloudscale.access.container import AccessContainer
from cloudscale.access.new_keys import KeyRights, NewKey
from cloudscale.access.scopes import Scope
from cloudscale.access.shared_cache import SharedCache
from cloudscale.cache.connection import open_redis
from cloudscale.cache.keys import keys_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from cloudscale.pipeline import EventPipeline
    from cloudscale.settings import Settings
    from cloudscale.store.events import EventStore

WITHIN = timedelta(seconds=30)
READS = KeyRights(scopes=frozenset({Scope.READ_EVENTS}))


class Directory(NamedTuple):
    """A dashboard, and how its directory is changed."""

    dashboard: DashboardServer
    administration: Administration

    async def key(self, tenant_id: str, rights: KeyRights = READS) -> NewKey:
        """A new key of a tenant that is there."""
        return await self.administration.create_key(tenant_id, "test", rights=rights)

    def statuses(self, key: str) -> set[int]:
        """The statuses of the answers to a key, of each route."""
        paths = ("/api/v1/events", "/api/v1/events/contoso-1", "/api/v1/users/ada")
        return {self.dashboard.call(path, token=key).status for path in paths}


@pytest.fixture
async def directory(
    resource: EventPipeline, settings: Settings, store: EventStore, tmp_path: Path
) -> AsyncIterator[Directory]:
    """Two tenants, each with an event."""
    file = tmp_path / "pipeline.json"
    name = resource.metadata.name
    document = {"apiVersion": "cloudscale.io/v1alpha1", "kind": "EventPipeline", "metadata": {"name": name}}
    spec = {"store": {"database": resource.spec.store.database}, "ingestion": {"trustedProxies": ["127.0.0.0/8"]}}
    file.write_bytes(msgspec.json.encode(document | {"spec": spec}))
    redis = open_redis(settings.redis_url)
    async with contextlib.aclosing(redis):
        administration = Administration(
            AccessContainer(store.client, resource.spec.store), SharedCache(redis, keys=keys_of(resource))
        )
        now = datetime.now(UTC)
        for tenant in ("contoso", "fabrikam"):
            await administration.create_tenant(tenant)
            event_id = f"{tenant}-1"
            await create_all(store, [created(event_id, now, tenant=tenant, eventId=event_id)])
        with dashboard_server(tmp_path, structs.replace(settings, pipeline_file=str(file))) as dashboard:
            yield Directory(dashboard, administration)


async def test_a_key_reads_its_tenant_alone(directory: Directory) -> None:
    for tenant, other in (("contoso", "fabrikam"), ("fabrikam", "contoso")):
        key = (await directory.key(tenant)).text
        answer = directory.dashboard.call("/api/v1/events", token=key)
        assert [each["eventId"] for each in answer.json["events"]] == [f"{tenant}-1"]
        assert directory.dashboard.call(f"/api/v1/events/{tenant}-1", token=key).status == 200
        assert directory.dashboard.call(f"/api/v1/events/{other}-1", token=key).status == 404


async def test_a_key_without_the_scope_reads_nothing(directory: Directory) -> None:
    for scope in set(Scope) - {Scope.READ_EVENTS}:
        key = await directory.key("contoso", KeyRights(scopes=frozenset({scope})))
        assert directory.statuses(key.text) == {403}


async def test_a_revoked_key_and_one_of_a_disabled_tenant_read_no_more(directory: Directory) -> None:
    ours, theirs = await directory.key("contoso"), await directory.key("fabrikam")
    assert directory.statuses(ours.text) == {200, 404}
    assert directory.dashboard.call("/api/v1/events", token=theirs.text).status == 200

    await directory.administration.revoke_key("contoso", ours.record.id)
    await directory.administration.change_tenant("fabrikam", disabled=True)

    async def both_are_refused() -> bool:
        return directory.statuses(ours.text) == {401} and directory.statuses(theirs.text) == {403}

    await wait_until(both_are_refused, within=WITHIN, interval=timedelta(milliseconds=200))


async def test_a_key_in_another_form_is_refused(directory: Directory) -> None:
    key = (await directory.key("contoso")).text
    for given in ("Bearer ", "Bearer", f"bearer  {key}", f"Basic {key}", key, f"Bearer {key}x", f"Bearer {key} {key}"):
        answer = directory.dashboard.call("/api/v1/events", headers={"Authorization": given})
        assert answer.status == 401, given
        assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_who_tries_many_wrong_keys_has_to_wait(directory: Directory) -> None:
    wrong = [directory.dashboard.call("/api/v1/events", token=f"wrong-{number}").status for number in range(60)]

    assert set(wrong) == {401, 429}
    assert wrong[0] == 401


async def test_of_those_behind_a_trusted_proxy_only_the_one_who_was_wrong_has_to_wait(directory: Directory) -> None:
    key = (await directory.key("contoso")).text

    def status(token: str, client: str) -> int:
        headers = {"X-Forwarded-For": client}
        return directory.dashboard.call("/api/v1/events", token=token, headers=headers).status

    assert {status(f"wrong-{number}", "198.51.100.7") for number in range(60)} == {401, 429}
    assert status(key, "198.51.100.7") == 429
    assert status(key, "198.51.100.8") == 200
