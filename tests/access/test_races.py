"""Administrators who change the same thing at the same time, each with a client of the store of his own.

Whichever is first, one state is left, and who was too late is told so.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from cloudscale.access.administration import Administration, EndedKeyError
from cloudscale.access.container import AlreadyExistsError, open_access
from cloudscale.access.new_keys import NewKey
from cloudscale.access.records import Device, Key, Quota, Tenant

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable

    from cloudscale.access.container import AccessContainer
    from cloudscale.access.shared_cache import SharedCache
    from cloudscale.pipeline import Store
    from cloudscale.settings import Settings

ROUNDS = 8


@pytest.fixture
async def administrations(spec: Store, settings: Settings, cache: SharedCache) -> AsyncIterator[list[Administration]]:
    async with AsyncExitStack() as stack:
        containers = [await stack.enter_async_context(open_access(spec, settings)) for _ in range(3)]
        yield [Administration(each, cache) for each in containers]


async def at_once(*acts: Awaitable[Any]) -> list[Any]:
    """What each answers or raises."""
    return await asyncio.gather(*acts, return_exceptions=True)


async def test_a_tenant_is_created_once(administrations: list[Administration], container: AccessContainer) -> None:
    for number in range(ROUNDS):
        quotas = [Quota(events_per_second=rate) for rate in (1, 2, 3)]
        answers = await at_once(
            *(
                each.create_tenant(f"acme-{number}", quota=quota)
                for each, quota in zip(administrations, quotas, strict=True)
            )
        )

        (created,) = [each for each in answers if isinstance(each, Tenant)]
        assert await container.read(Tenant, f"acme-{number}", tenant_id=f"acme-{number}") == created
        late = [each for each in answers if each is not created]
        assert [type(each) for each in late] == [AlreadyExistsError] * 2
        assert f"tenant acme-{number} is there already" in str(late[0])


async def test_a_device_is_created_once_and_who_is_late_makes_no_key_of_it(
    administrations: list[Administration], container: AccessContainer
) -> None:
    await administrations[0].create_tenant("acme")
    for number in range(ROUNDS):
        device = f"till-{number}"
        answers = await at_once(*(each.create_device("acme", device, model=str(each)) for each in administrations))

        (made,) = [each for each in answers if isinstance(each, NewKey)]
        late = [each for each in answers if each is not made]
        assert [type(each) for each in late] == [AlreadyExistsError] * 2
        assert f"device {device} is there already" in str(late[0])
        assert (await container.read(Device, device, tenant_id="acme")).id == device
        assert await container.key_ids_of_device("acme", device) == [made.record.id]


async def test_keys_of_one_name_are_two_keys(administrations: list[Administration], container: AccessContainer) -> None:
    await administrations[0].create_tenant("acme")

    answers = await at_once(*(each.create_key("acme", "web") for each in administrations))

    stored = await container.page(Key, tenant_id="acme")
    assert {each.record.id for each in answers} == {each.id for each in stored}
    assert len(stored) == 3


async def test_a_key_that_is_rotated_and_revoked_is_revoked_in_any_order(
    administrations: list[Administration], container: AccessContainer
) -> None:
    await administrations[0].create_tenant("acme")
    for _ in range(ROUNDS):
        old = (await administrations[0].create_key("acme", "web")).record
        rotated, revoked, again = await at_once(
            administrations[0].rotate_key("acme", old.id, overlap=timedelta(hours=24)),
            administrations[1].revoke_key("acme", old.id),
            administrations[2].rotate_key("acme", old.id, overlap=timedelta(hours=24)),
        )

        now = datetime.now(UTC)
        assert isinstance(revoked, Key)
        stored = await container.read(Key, old.id, tenant_id="acme")
        assert stored.revoked_at is not None
        assert stored.revoked_at <= now
        made = [each.record.id for each in (rotated, again) if isinstance(each, NewKey)]
        late = [each for each in (rotated, again) if not isinstance(each, NewKey)]
        assert all(isinstance(each, EndedKeyError) and f"the key {old.id} is revoked" in str(each) for each in late)
        assert stored.replaced_by == (made[0] if made else None)
        keys = await container.page(Key, tenant_id="acme")
        assert [key.id for key in keys if key.revoked_at is None] == made, "no key holds whose text nobody has"
        for key_id in made:
            await administrations[0].revoke_key("acme", key_id)


async def test_changes_of_different_fields_of_a_key_are_both_kept(
    administrations: list[Administration], container: AccessContainer
) -> None:
    await administrations[0].create_tenant("acme")
    for _ in range(ROUNDS):
        key = (await administrations[0].create_key("acme", "web")).record

        answers = await at_once(
            administrations[0].change_key("acme", key.id, name="app"),
            administrations[1].change_key("acme", key.id, requests_per_second=5),
            administrations[2].revoke_key("acme", key.id),
        )

        assert isinstance(answers[2], Key)
        stored = await container.read(Key, key.id, tenant_id="acme")
        assert stored.revoked_at is not None
        for answer, field, value in ((answers[0], "name", "app"), (answers[1], "requests_per_second", 5)):
            if isinstance(answer, Key):
                assert getattr(stored, field) == value
            else:
                assert isinstance(answer, EndedKeyError)
