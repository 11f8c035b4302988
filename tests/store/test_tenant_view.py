from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.store.creating import create_all
from tests.store.test_events import document

from cloudscale.store.alerts import Alert, AlertStore
from cloudscale.store.creation_order import CreationFilter
from cloudscale.store.latest import EventFilter
from cloudscale.store.profiles import Profile, ProfileStore, partition_of, profile_id
from cloudscale.store.tenant_view import NotVisibleError, TenantView

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from cloudscale.store.events import EventStore

TENANTS = ("adatum", "contoso", "fabrikam")
USER = "ada"
"""The user that each tenant has."""

QUERIES: dict[str, Callable[[TenantView, str | None], Awaitable[object]]] = {
    "find_events": lambda view, tenant: view.find_events(EventFilter(), tenant=tenant, limit=100),
    "find_by_creation": lambda view, tenant: view.find_by_creation(tenant or "contoso", CreationFilter(), limit=100),
    "find_alerts": lambda view, tenant: view.find_alerts(tenant=tenant, limit=100),
    "find_profile": lambda view, tenant: view.find_profile(tenant or "contoso", USER),
    "find_profiles": lambda view, tenant: view.find_profiles(tenant=tenant, limit=100),
}
"""Every question that a view answers."""


@pytest.fixture
async def filled(store: EventStore) -> EventStore:
    """A store that has for each of the tenants an event, an alert and a user of the same names."""
    await create_all(
        store, [document("e", tenantId=each, partitionKey=f"{each}:2024-05", userId=USER) for each in TENANTS]
    )
    alerts = [
        Alert(id=f"velocity-{each}", kind="velocity", tenant_id=each, created_at="2024-05-01", user_id=USER)
        for each in TENANTS
    ]
    await AlertStore(store).raise_alerts(alerts)
    for each in TENANTS:
        profile = Profile(
            id=profile_id(USER), partition_key=partition_of(each, USER), tenant_id=each, user_id=USER, events=1
        )
        assert await ProfileStore(store).write([profile])
    return store


def tenants_in(answer: object) -> set[str]:
    """The tenants that an answer names."""
    return {each for each in TENANTS if f"'{each}'" in str(answer)}


def test_every_question_that_a_view_answers_has_a_case() -> None:
    assert set(QUERIES) == {name for name in vars(TenantView) if not name.startswith("_")}


@pytest.mark.parametrize("name", QUERIES)
async def test_no_question_is_answered_with_another_tenant_s_data(filled: EventStore, name: str) -> None:
    view = TenantView(filled, frozenset({"contoso", "adatum"}))

    assert "fabrikam" not in str(await QUERIES[name](view, None))
    assert tenants_in(await QUERIES[name](view, "contoso")) == {"contoso"}
    for other in ("fabrikam", "", "CONTOSO", "contoso:2024-05", "nobody"):
        if other:
            with pytest.raises(NotVisibleError, match=other):
                await QUERIES[name](view, other)


@pytest.mark.parametrize("name", QUERIES)
async def test_a_view_of_no_tenant_shows_nothing(filled: EventStore, name: str) -> None:
    view = TenantView(filled, frozenset())

    with pytest.raises(NotVisibleError):
        await QUERIES[name](view, "contoso")
    assert await view.find_events(EventFilter(), limit=10) == []
    assert await view.find_alerts(limit=10) == []
    assert await view.find_profiles(limit=10) == ([], 0)


async def test_a_filter_s_own_tenant_opens_no_view(filled: EventStore) -> None:
    view = TenantView(filled, frozenset({"contoso"}))

    found = await view.find_events(EventFilter(tenant_id="fabrikam"), limit=10)

    assert [each["tenantId"] for each in found] == ["contoso"]


async def test_who_sees_everybody_is_shown_all_of_them(filled: EventStore) -> None:
    view = TenantView(filled, None)

    assert tenants_in(await view.find_events(EventFilter(), limit=10)) == {*TENANTS}
    assert tenants_in(await view.find_alerts(limit=10)) == {*TENANTS}
    profiles, count = await view.find_profiles(limit=2)
    assert (len(profiles), count) == (2, 3)
    assert len((await view.find_profiles(user_id=USER, limit=10))[0]) == 3


async def test_who_sees_some_tenants_is_shown_each_of_them(filled: EventStore) -> None:
    view = TenantView(filled, frozenset({"contoso", "adatum"}))

    assert tenants_in(await view.find_events(EventFilter(), limit=10)) == {"adatum", "contoso"}
    assert tenants_in(await view.find_alerts(limit=10)) == {"adatum", "contoso"}
    assert (await view.find_profiles(limit=10))[1] == 2
