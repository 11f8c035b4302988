"""Who is behind a key."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import msgspec
import pytest
from tests.waiting import wait_until

from cloudscale.access import api_key, caller
from cloudscale.access.attempts import AttemptLimits, FailedAttempts
from cloudscale.access.authentication import Authentication, TooManyAttemptsError
from cloudscale.access.caller import NotAllowedError, NotAuthenticatedError
from cloudscale.access.directory import Directory, DirectoryLimits
from cloudscale.access.new_keys import KeyRights
from cloudscale.access.records import Key, Quota
from cloudscale.access.scopes import Scope

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from cloudscale.access.administration import Administration
    from cloudscale.access.container import AccessContainer
    from cloudscale.access.shared_cache import SharedCache

ADDRESS = "192.0.2.1"
SOON = timedelta(seconds=20)


@pytest.fixture
async def authentication(container: AccessContainer, cache: SharedCache) -> AsyncIterator[Authentication]:
    async with Directory(container.find, cache, limits=DirectoryLimits(poll_seconds=0.05)) as directory:
        yield Authentication(directory, FailedAttempts(AttemptLimits(burst=1000)))


async def test_a_key_is_its_tenants_with_its_rights(
    administration: Administration, authentication: Authentication
) -> None:
    await administration.create_tenant("acme", quota=Quota(events_per_second=7))
    rights = KeyRights(scopes=frozenset({Scope.READ_EVENTS}), event_types=frozenset({"purchase"}), is_server=True)
    made = await administration.create_key("acme", "web", rights=rights)

    found = await authentication.caller_of(f"Bearer {made.text}", address=ADDRESS)

    assert found == caller.Caller(
        name=made.record.id,
        tenant_id="acme",
        scopes=frozenset({Scope.READ_EVENTS}),
        event_types=frozenset({"purchase"}),
        is_server=True,
        quota=Quota(events_per_second=7),
    )


async def test_the_scheme_may_be_written_in_any_case(
    administration: Administration, authentication: Authentication
) -> None:
    await administration.create_tenant("acme")
    made = await administration.create_key("acme", "web")

    assert (await authentication.caller_of(f"bEARER {made.text}", address=ADDRESS)).name == made.record.id


async def test_the_old_key_and_the_new_one_hold_during_the_overlap(
    administration: Administration, authentication: Authentication
) -> None:
    await administration.create_tenant("acme")
    old = await administration.create_key("acme", "web")
    new = await administration.rotate_key("acme", old.record.id, overlap=timedelta(hours=1))

    for made in (old, new):
        assert (await authentication.caller_of(f"Bearer {made.text}", address=ADDRESS)).name == made.record.id


async def says(authentication: Authentication, key: str, problem: str) -> bool:
    """Whether a key is refused with these words."""
    try:
        await authentication.caller_of(f"Bearer {key}", address=ADDRESS)
    except (NotAuthenticatedError, NotAllowedError) as error:
        return problem in str(error)
    return False


async def test_a_key_ends_at_its_time(administration: Administration, authentication: Authentication) -> None:
    await administration.create_tenant("acme")
    made = await administration.create_key("acme", "web", expires_in=timedelta(seconds=2))
    ends_at = made.record.expires_at
    assert ends_at is not None
    while (before := datetime.now(UTC)) < ends_at - timedelta(milliseconds=500):
        assert not await says(authentication, made.text, "expired"), before
        await asyncio.sleep(0)

    await wait_until(lambda: says(authentication, made.text, f"the key {made.record.id} has expired"), within=SOON)
    assert datetime.now(UTC) >= ends_at


async def test_a_revoked_key_a_disabled_tenant_and_a_new_quota_hold_soon(
    administration: Administration, authentication: Authentication
) -> None:
    await administration.create_tenant("acme")
    one, other = [await administration.create_key("acme", "web") for _ in range(2)]
    for made in (one, other):
        await authentication.caller_of(f"Bearer {made.text}", address=ADDRESS)

    await administration.revoke_key("acme", one.record.id)
    await wait_until(lambda: says(authentication, one.text, "was revoked"), within=SOON)
    await administration.change_tenant("acme", quota=Quota(requests_per_second=3))

    async def has_quota() -> bool:
        found = await authentication.caller_of(f"Bearer {other.text}", address=ADDRESS)
        return found.quota == Quota(requests_per_second=3)

    await wait_until(has_quota, within=SOON)
    await administration.change_tenant("acme", disabled=True)
    await wait_until(lambda: says(authentication, other.text, "the tenant acme is disabled"), within=SOON)


async def test_the_id_of_a_key_with_another_secret_is_not_enough(
    administration: Administration, authentication: Authentication
) -> None:
    await administration.create_tenant("acme")
    made = await administration.create_key("acme", "web")
    body = f"cs_{made.record.id}_{api_key.generate().secret[:43]}"
    forged = body + api_key._check(body)
    assert api_key.parse(forged) is not None

    with pytest.raises(NotAuthenticatedError, match="not valid"):
        await authentication.caller_of(f"Bearer {forged}", address=ADDRESS)


async def test_an_address_that_is_wrong_too_often_has_to_wait_and_others_need_not(
    administration: Administration, container: AccessContainer, cache: SharedCache
) -> None:
    await administration.create_tenant("acme")
    made = await administration.create_key("acme", "web")
    async with Directory(container.find, cache) as directory:
        authentication = Authentication(directory, FailedAttempts(AttemptLimits(burst=3)))
        for _ in range(3):
            with pytest.raises(NotAuthenticatedError):
                await authentication.caller_of(f"Bearer {api_key.generate().text}", address=ADDRESS)
        with pytest.raises(TooManyAttemptsError):
            await authentication.caller_of(f"Bearer {made.text}", address=ADDRESS)

        found = await authentication.caller_of(f"Bearer {made.text}", address="192.0.2.2")
        assert found.name == made.record.id


async def test_a_request_without_a_key_is_no_attempt(container: AccessContainer, cache: SharedCache) -> None:
    async with Directory(container.find, cache) as directory:
        authentication = Authentication(directory, FailedAttempts(AttemptLimits(burst=1)))
        for _ in range(5):
            with pytest.raises(NotAuthenticatedError, match="there is no key"):
                await authentication.caller_of(None, address=ADDRESS)


async def test_a_key_for_web_pages_may_send_only_whatever_its_record_says(
    authentication: Authentication, administration: Administration, container: AccessContainer
) -> None:
    await administration.create_tenant("acme")
    rights = KeyRights(origins=frozenset({"https://shop.example"}))
    made = await administration.create_key("acme", "web", rights=rights)

    def widen(key: Key) -> Key:
        return msgspec.structs.replace(key, scopes=frozenset(Scope))

    await container.change(Key, made.record.id, tenant_id="acme", change=widen)
    found = await authentication.caller_of(f"Bearer {made.text}", address=ADDRESS, origin="https://shop.example")

    assert found.scopes == {Scope.WRITE_EVENTS}


async def test_a_key_for_web_pages_works_from_its_origins_only(
    administration: Administration, authentication: Authentication
) -> None:
    await administration.create_tenant("acme")
    rights = KeyRights(origins=frozenset({"https://shop.example"}))
    made = await administration.create_key("acme", "web", rights=rights)

    found = await authentication.caller_of(f"Bearer {made.text}", address=ADDRESS, origin="https://shop.example")
    assert found.origins == frozenset({"https://shop.example"})
    for origin in (None, "https://shop.example.evil", "http://shop.example", "null", ""):
        with pytest.raises(NotAllowedError, match="other web origins"):
            await authentication.caller_of(f"Bearer {made.text}", address=ADDRESS, origin=origin)


async def test_a_key_whose_tenant_is_gone_is_refused(
    administration: Administration, authentication: Authentication, container: AccessContainer
) -> None:
    await administration.create_tenant("acme")
    orphan = api_key.generate()
    await container.create(
        Key(
            id=orphan.id, tenant_id="gone", name="web", digest=api_key.digest_of(orphan.secret),
            scopes=frozenset({Scope.WRITE_EVENTS}), created_at=datetime.now(UTC),
        )
    )  # fmt: skip

    with pytest.raises(NotAllowedError, match="no tenant gone"):
        await authentication.caller_of(f"Bearer {orphan.text}", address=ADDRESS)


async def test_no_error_has_the_secret(administration: Administration, authentication: Authentication) -> None:
    await administration.create_tenant("acme")
    made = await administration.create_key("acme", "web", expires_in=timedelta(microseconds=1))
    parsed = api_key.parse(made.text)
    assert parsed is not None

    with pytest.raises(NotAuthenticatedError) as caught:
        await authentication.caller_of(f"Bearer {made.text}", address=ADDRESS)

    assert parsed.secret not in str(caught.value)
    assert parsed.secret not in msgspec.json.encode(made.record).decode()


async def test_many_callers_of_one_key_at_once_are_all_known(
    administration: Administration, authentication: Authentication
) -> None:
    await administration.create_tenant("acme")
    made = await administration.create_key("acme", "web")

    found = await asyncio.gather(
        *(authentication.caller_of(f"Bearer {made.text}", address=ADDRESS) for _ in range(200))
    )

    assert {each.name for each in found} == {made.record.id}
