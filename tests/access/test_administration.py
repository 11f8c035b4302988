"""Changes of the directory."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from cloudscale.access import api_key
from cloudscale.access.administration import HalfDoneError, NotAnnouncedError
from cloudscale.access.container import AlreadyExistsError, NotFoundError
from cloudscale.access.new_keys import KeyRights, NewKey
from cloudscale.access.records import Device, Key, Quota
from cloudscale.access.scopes import Scope
from cloudscale.cache.keys import Keys
from cloudscale.errors import BackendUnavailableError, ConfigurationError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from redis.asyncio import Redis

    from cloudscale.access.administration import Administration
    from cloudscale.access.container import AccessContainer

VERSION = Keys(namespace="default", name="test").access_version
"""What changes are announced by."""


async def test_a_new_key_has_its_secret_in_its_text_and_only_a_digest_in_the_store(
    administration: Administration, container: AccessContainer
) -> None:
    await administration.create_tenant("acme")
    made = await administration.create_key("acme", "web", expires_in=timedelta(days=90))
    parsed = api_key.parse(made.text)
    stored = await container.read(Key, made.record.id, tenant_id="acme")

    assert parsed is not None
    assert api_key.is_secret_of(parsed.secret, stored.digest)
    assert parsed.secret not in str(stored)
    assert stored.expires_at is not None
    assert stored.expires_at - stored.created_at == timedelta(days=90)


async def test_a_key_needs_a_tenant_that_is_there(administration: Administration) -> None:
    await administration.create_tenant("acme")
    with pytest.raises(NotFoundError, match="no tenant contoso"):
        await administration.create_key("contoso", "web")


async def test_a_key_that_is_revoked_while_it_is_rotated_stays_revoked_and_its_successor_holds_not(
    administration: Administration, container: AccessContainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    await administration.create_tenant("acme")
    old = (await administration.create_key("acme", "web")).record
    add_key = administration._add_key

    async def revoke_meanwhile(*arguments: Any, **options: Any) -> NewKey:
        made = await add_key(*arguments, **options)
        await administration.revoke_key("acme", old.id)
        return made

    monkeypatch.setattr(administration, "_add_key", revoke_meanwhile)
    with pytest.raises(ConfigurationError, match="is revoked"):
        await administration.rotate_key("acme", old.id, overlap=timedelta(hours=24))

    now = datetime.now(UTC)
    keys = await container.page(Key, tenant_id="acme")
    assert len(keys) == 2
    assert all(key.revoked_at is not None and key.revoked_at <= now for key in keys)


async def test_of_two_rotations_at_the_same_time_one_makes_the_successor(
    administration: Administration, container: AccessContainer
) -> None:
    await administration.create_tenant("acme")
    old = (await administration.create_key("acme", "web")).record

    made = await asyncio.gather(
        *(administration.rotate_key("acme", old.id, overlap=timedelta(hours=24)) for _ in range(2)),
        return_exceptions=True,
    )

    (new,) = [each for each in made if isinstance(each, NewKey)]
    assert (await container.read(Key, old.id, tenant_id="acme")).replaced_by == new.record.id
    valid = [key.id for key in await container.page(Key, tenant_id="acme") if key.revoked_at is None]
    assert valid == [new.record.id]


async def test_a_rotated_key_holds_for_the_overlap_and_names_the_new_one(
    administration: Administration, container: AccessContainer
) -> None:
    await administration.create_tenant("acme")
    rights = KeyRights(scopes=frozenset({Scope.READ_EVENTS}), is_server=True)
    old = (await administration.create_key("acme", "web", rights=rights, expires_in=timedelta(days=1))).record
    new = (await administration.rotate_key("acme", old.id, overlap=timedelta(hours=24))).record
    ended = await container.read(Key, old.id, tenant_id="acme")

    assert ended.replaced_by == new.id
    assert ended.revoked_at is not None
    assert timedelta(hours=23) < ended.revoked_at - new.created_at <= timedelta(hours=24)
    assert (new.scopes, new.is_server, new.name) == (old.scopes, True, "web")
    assert new.expires_at is not None
    assert new.expires_at - new.created_at == timedelta(days=1)
    with pytest.raises(ConfigurationError, match=f"rotate {new.id}, which replaces it"):
        await administration.rotate_key("acme", old.id, overlap=timedelta(0))


async def test_a_key_that_still_held_for_an_overlap_is_ended_by_a_revocation(
    administration: Administration,
) -> None:
    await administration.create_tenant("acme")
    old = (await administration.create_key("acme", "web")).record
    await administration.rotate_key("acme", old.id, overlap=timedelta(hours=24))
    first = await administration.revoke_key("acme", old.id)
    again = await administration.revoke_key("acme", old.id)

    assert first.revoked_at is not None
    assert first.revoked_at - old.created_at < timedelta(minutes=5)
    assert again.revoked_at == first.revoked_at


async def test_a_device_gets_a_key_that_sends_for_it_alone(
    administration: Administration, container: AccessContainer
) -> None:
    await administration.create_tenant("acme")
    made = await administration.create_device("acme", "thermostat-7", type="thermostat", metadata={"floor": "3"})

    assert (made.record.device_id, made.record.scopes) == ("thermostat-7", frozenset({Scope.WRITE_EVENTS}))
    assert (await container.read(Device, "thermostat-7", tenant_id="acme")).metadata == {"floor": "3"}
    with pytest.raises(AlreadyExistsError):
        await administration.create_device("acme", "thermostat-7")


@pytest.mark.parametrize("name", ["", "a b", "-a", "a" * 65, "a/b", "acme\n", "ünïcode"])
async def test_a_tenant_cannot_be_called_what_no_event_may_name(administration: Administration, name: str) -> None:
    with pytest.raises(ConfigurationError):
        await administration.create_tenant(name)


@pytest.mark.parametrize(
    "rights",
    [
        KeyRights(scopes=frozenset()),
        KeyRights(origins=frozenset({"shop.example"})),
        KeyRights(origins=frozenset({"https://shop.example/path"})),
        KeyRights(origins=frozenset({"https://SHOP.example"})),
        KeyRights(origins=frozenset({"https://shop.example:443"})),
        KeyRights(origins=frozenset({"https://*.shop.example"})),
        KeyRights(origins=frozenset({"null"})),
        KeyRights(origins=frozenset({"https://shop.example"}), is_server=True),
        KeyRights(requests_per_second=0),
        KeyRights(event_types=frozenset()),
        KeyRights(scopes=frozenset({Scope.WRITE_EVENTS, Scope.READ_EVENTS}), origins=frozenset({"https://a.example"})),
    ],
)
async def test_rights_that_make_no_sense_are_refused(administration: Administration, rights: KeyRights) -> None:
    await administration.create_tenant("acme")
    with pytest.raises(ConfigurationError):
        await administration.create_key("acme", "web", rights=rights)


@pytest.mark.parametrize("overlap", [timedelta(days=91), timedelta(seconds=-1)])
async def test_an_overlap_is_bounded(administration: Administration, overlap: timedelta) -> None:
    with pytest.raises(ConfigurationError, match="overlap"):
        await administration.rotate_key("acme", "AAAAAAAAAAAA", overlap=overlap)


@pytest.fixture
async def untold(redis: Redis) -> AsyncIterator[Redis]:
    """A Redis that can be told of no change while :data:`VERSION` is spoilt."""
    yield redis
    await redis.delete(VERSION)


async def spoil(redis: Redis) -> None:
    await redis.delete(VERSION)
    await redis.rpush(VERSION, "x")


async def test_a_revocation_that_nobody_could_be_told_of_is_stored_and_says_when_it_holds(
    administration: Administration, untold: Redis, container: AccessContainer
) -> None:
    await administration.create_tenant("acme")
    key = (await administration.create_key("acme", "web")).record
    await spoil(untold)

    with pytest.raises(NotAnnouncedError, match=r"stored.* within a minute .* within two hours") as untold_of:
        await administration.revoke_key("acme", key.id)

    stored = await container.read(Key, key.id, tenant_id="acme")
    assert stored.revoked_at is not None
    assert untold_of.value.changed == stored
    await untold.delete(VERSION)
    await administration.revoke_key("acme", key.id)


async def test_a_key_that_nobody_could_be_told_of_is_given_to_who_made_it(
    administration: Administration, untold: Redis, container: AccessContainer
) -> None:
    await administration.create_tenant("acme")
    old = (await administration.create_key("acme", "web")).record
    await spoil(untold)

    with pytest.raises(NotAnnouncedError, match="half a minute") as created:
        await administration.create_key("acme", "app")
    with pytest.raises(NotAnnouncedError) as rotated:
        await administration.rotate_key("acme", old.id, overlap=timedelta(hours=1))

    texts = [each.value.changed.text for each in (created, rotated) if isinstance(each.value.changed, NewKey)]
    made = [parsed.id for text in texts if (parsed := api_key.parse(text))]
    assert {key.id for key in await container.page(Key, tenant_id="acme")} == {old.id, *made}
    assert (await container.read(Key, old.id, tenant_id="acme")).replaced_by == made[1]


async def test_a_rotation_that_the_store_ends_half_way_leaves_no_key_that_nobody_has(
    administration: Administration, container: AccessContainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    await administration.create_tenant("acme")
    old = (await administration.create_key("acme", "web")).record
    change, failures = container.change, [BackendUnavailableError("the store is away")]

    async def fail_first(*arguments: Any, **options: Any) -> Any:
        if failures:
            raise failures.pop()
        return await change(*arguments, **options)

    monkeypatch.setattr(container, "change", fail_first)
    with pytest.raises(BackendUnavailableError, match="the store is away"):
        await administration.rotate_key("acme", old.id, overlap=timedelta(hours=1))

    assert [key.id for key in await container.page(Key, tenant_id="acme") if key.revoked_at is None] == [old.id]

    failures += [BackendUnavailableError("the store is away")] * 2
    with pytest.raises(HalfDoneError, match="the old key holds as before") as half:
        await administration.rotate_key("acme", old.id, overlap=timedelta(hours=1))

    (new,) = {key.id for key in await container.page(Key, tenant_id="acme") if key.revoked_at is None} - {old.id}
    assert new in str(half.value)


async def test_a_key_that_the_store_may_have_is_named(
    administration: Administration, container: AccessContainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    await administration.create_tenant("acme")
    create = container.create

    async def create_unanswered(record: Key) -> None:
        await create(record)
        raise BackendUnavailableError("the store is away")

    monkeypatch.setattr(container, "create", create_unanswered)
    with pytest.raises(HalfDoneError, match="revoke it if it is in the list") as half:
        await administration.create_key("acme", "web")

    (made,) = await container.page(Key, tenant_id="acme")
    assert made.id in str(half.value)


async def test_a_quota_is_changed_without_enabling_a_tenant_again(administration: Administration) -> None:
    await administration.create_tenant("acme")
    await administration.change_tenant("acme", disabled=True)
    changed = await administration.change_tenant("acme", quota=Quota(requests_per_second=5))

    assert (changed.disabled, changed.quota) == (True, Quota(requests_per_second=5))
