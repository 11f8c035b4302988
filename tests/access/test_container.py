"""The directory's documents, in a real store."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import msgspec
import pytest

from cloudscale.access import api_key
from cloudscale.access.container import AlreadyExistsError, NotFoundError, position_of
from cloudscale.access.records import Device, Key, Quota, Record, Reference, Tenant
from cloudscale.access.scopes import Scope

if TYPE_CHECKING:
    from cloudscale.access.container import AccessContainer

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)


def tenant(name: str = "acme") -> Tenant:
    return Tenant(id=name, created_at=NOW, quota=Quota(events_per_second=500))


def key(tenant_id: str = "acme") -> Key:
    made = api_key.generate()
    return Key(
        id=made.id,
        tenant_id=tenant_id,
        name="web",
        digest=api_key.digest_of(made.secret),
        scopes=frozenset({Scope.WRITE_EVENTS, Scope.READ_EVENTS}),
        created_at=NOW,
        expires_at=NOW + timedelta(days=90),
        event_types=frozenset({"page_view", "purchase"}),
        origins=frozenset({"https://shop.example"}),
    )


async def test_what_is_created_is_read_back_as_it_was(container: AccessContainer) -> None:
    await container.ensure()
    device = Device(
        id="t-7", tenant_id="acme", created_at=NOW, type="thermostat", metadata={"floor": 3, "tags": ["b", "a"]}
    )
    records: list[Record] = [tenant(), key(), device]
    for record in records:
        await container.create(record)

    assert [
        await container.read(Tenant, "acme", tenant_id="acme"),
        await container.read(Key, records[1].id, tenant_id="acme"),
        await container.read(Device, "t-7", tenant_id="acme"),
    ] == records


async def test_nothing_is_created_twice(container: AccessContainer) -> None:
    await container.ensure()
    await container.create(tenant())

    with pytest.raises(AlreadyExistsError, match="tenant acme is there already"):
        await container.create(tenant())


async def test_a_record_of_another_tenant_is_not_found(container: AccessContainer) -> None:
    await container.ensure()
    mine = key("acme")
    await container.create(mine)

    with pytest.raises(NotFoundError, match=f"no key {mine.id} of tenant contoso"):
        await container.read(Key, mine.id, tenant_id="contoso")


async def test_changes_that_others_make_at_the_same_time_are_not_lost(container: AccessContainer) -> None:
    await container.ensure()
    await container.create(msgspec.structs.replace(tenant(), quota=Quota(events_per_second=1)))

    def one_more(record: Tenant) -> Tenant:
        return msgspec.structs.replace(record, quota=Quota(events_per_second=(record.quota.events_per_second or 0) + 1))

    await asyncio.gather(*(container.change(Tenant, "acme", tenant_id="acme", change=one_more) for _ in range(3)))

    assert (await container.read(Tenant, "acme", tenant_id="acme")).quota.events_per_second == 4


async def test_pages_have_every_record_of_a_tenant_once_and_no_other(container: AccessContainer) -> None:
    await container.ensure()
    mine, others = [key("acme") for _ in range(7)], [key("contoso") for _ in range(3)]
    everything: list[Record] = [tenant("acme"), tenant("contoso"), *mine, *others]
    for record in everything:
        await container.create(record)

    pages, after = [], ""
    while page := await container.page(Key, tenant_id="acme", after=after, limit=3):
        pages += page
        after = position_of(page[-1])

    assert pages == sorted(mine, key=position_of)
    assert [each.id for each in await container.page(Tenant)] == ["acme", "contoso"]


async def test_many_keys_and_tenants_are_found_together(container: AccessContainer) -> None:
    await container.ensure()
    keys = [key(f"t{number % 3}") for number in range(5)]
    everything: list[Record] = [*(tenant(f"t{number}") for number in range(3)), *keys]
    for record in everything:
        await container.create(record)
    wanted = [Reference("key", each.id) for each in keys] + [Reference("tenant", "t1"), Reference("tenant", "nobody")]

    found = await container.find([*wanted, Reference("key", "AAAAAAAAAAAA")])

    assert found == dict(zip(wanted, [*keys, tenant("t1")], strict=False))


async def test_before_anybody_has_created_a_tenant_there_is_none(container: AccessContainer) -> None:
    assert await container.find([Reference("tenant", "acme")]) == {}
    assert await container.page(Tenant) == []


async def test_a_record_that_cannot_be_read_keeps_nobody_else_out(container: AccessContainer) -> None:
    await container.ensure()
    good, bad = key(), key()
    for record in (good, bad):
        await container.create(record)
    document = await container._container.read_item(f"key:{bad.id}", "acme")
    await container._container.replace_item(document["id"], {**document, "scopes": "everything"})

    found = await container.find([Reference("key", good.id), Reference("key", bad.id)])

    assert found == {Reference("key", good.id): good}
