"""Whatever an administrator of one tenant asks for, nothing of the others is told or changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.servers.office import ACME_MANAGER, MANAGER

from cloudscale.dashboard.administering.positions import write_cursor

if TYPE_CHECKING:
    from tests.servers.office import Office

OTHERS = ("rival", "operations")
TENANTS = st.sampled_from(["acme", *OTHERS, "ACME", "rival%2f", "rival%20", "..%2frival"])
CURSORS = st.sampled_from(
    [write_cursor(position) for position in ("rival:000000000000", "acme:zzzzzzzzzzzz", "tenant a")]
)
KEYS = st.sampled_from(["{own}", "{rival-admin}", "{admin}", "AAAAAAAAAAAA", "{rival-admin}%2f..%2f{own}"])


class Asked(NamedTuple):
    """A request, in whose path ``{name}`` is the id of a key."""

    method: str
    path: str
    content: dict[str, Any] | None


def some_path() -> st.SearchStrategy[str]:
    return st.one_of(
        st.sampled_from(["/tenants", "/keys", "/keys?limit=200", "/rates"]),
        TENANTS.map("/tenants/{}".format),
        TENANTS.map("/keys?limit=200&tenant={}".format),
        st.tuples(TENANTS, CURSORS).map(lambda asked: f"/keys?tenant={asked[0]}&cursor={asked[1]}"),
        CURSORS.map("/tenants?cursor={}".format),
        st.tuples(KEYS, st.sampled_from(["", "/rotate", "/revoke"])).map(lambda asked: f"/keys/{asked[0]}{asked[1]}"),
    )


SOME_CONTENT = st.none() | st.fixed_dictionaries(
    {},
    optional={
        "name": st.just("mine"),
        "tenantId": st.sampled_from(["acme", *OTHERS]),
        "id": st.sampled_from(["acme", *OTHERS, "AAAAAAAAAAAA"]),
        "scopes": st.sampled_from([["events:write"], ["admin"], ["tenant:admin", "events:read"]]),
        "quota": st.sampled_from([{}, {"eventsPerSecond": 9}]),
        "disabled": st.booleans(),
        "expiresInSeconds": st.sampled_from([60, None]),
        "overlapSeconds": st.just(60),
    },
)
SOME_REQUESTS = st.builds(
    Asked,
    method=st.sampled_from(["GET", "POST", "PATCH", "PUT", "DELETE"]),
    path=some_path(),
    content=SOME_CONTENT,
)


@pytest.fixture(scope="module")
def before(office: Office) -> list[Any]:
    return state_of_others(office)


@pytest.fixture(scope="module")
def own(office: Office) -> str:
    """The id of a key of acme that may come to any end."""
    return str(office.new_key(name="own")["id"])


@given(asked=SOME_REQUESTS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_asked_tells_and_changes_nothing_of_another_tenant(
    office: Office, own: str, before: list[Any], asked: Asked
) -> None:
    path = asked.path.format(own=own, **{name: office.id_of(name) for name in office.made})

    answer = office.on_page(ACME_MANAGER, asked.method, path, asked.content)

    assert answer.status < 500, answer.body
    assert state_of_others(office) == before
    told = answer.json
    records = [told, *told.get("keys", []), *told.get("tenants", [])]
    assert not [each for each in records if each.get("tenantId") in OTHERS]
    assert answer.status >= 400 or not [each for each in records if each.get("id") in OTHERS]
    ids = [office.id_of(name) for name in ("rival-admin", "admin")]
    assert not [each for each in ids if each not in path and each in answer.body.decode()]


def state_of_others(office: Office) -> list[Any]:
    """The other tenants and their keys, without when these were used."""
    tenants = [office.on_page(MANAGER, "GET", f"/tenants/{each}").json for each in OTHERS]
    keys = [office.on_page(MANAGER, "GET", f"/keys?tenant={each}&limit=200").json["keys"] for each in OTHERS]
    return [tenants, [[key | {"lastUsedAt": None} for key in some] for some in keys]]
