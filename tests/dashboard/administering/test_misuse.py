"""What administrators are refused: more than they have, others' tenants and keys, and requests that make no sense."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from tests.servers.dashboard import OWN_PAGE
from tests.servers.office import ACME_MANAGER, MANAGER, OPERATOR, VIEWER

from cloudscale.dashboard.problems import Kind

if TYPE_CHECKING:
    from tests.servers.office import Office


class Misuse(NamedTuple):
    """A request of a key, in whose path and content ``{name}`` is a key's id, and the status that refuses it."""

    name: str
    who: str
    method: str
    path: str
    content: Any
    status: int


def key(**fields: Any) -> dict[str, Any]:
    return {"name": "mine", **fields}


WIDE = "0123456789AB"
STRANGER = "127.0.0.2"
"""Whose wrong keys are not counted for the others' address."""

TYPES = {kind.status: kind.type for kind in Kind}
MISUSES = [
    # More than the caller has.
    Misuse("a key that sends makes a key", "acme-writer", "POST", "/keys", key(), 403),
    Misuse("a key that reads lists keys", "acme-writer", "GET", "/keys", None, 403),
    Misuse("a key that sends lists tenants", "acme-writer", "GET", "/tenants", None, 403),
    Misuse("a key that sends revokes itself", "acme-writer", "POST", "/keys/{acme-writer}/revoke", None, 403),
    Misuse("a public key lists keys elsewhere", "acme-page", "GET", "/keys", None, 403),
    Misuse("a tenant's makes an admin", "acme-admin", "POST", "/keys", key(scopes=["admin"]), 403),
    Misuse(
        "a tenant's hides an admin", "acme-admin", "POST", "/keys", key(scopes=["events:write", "admin"]), 403
    ),
    Misuse("a tenant's changes an admin", "acme-admin", "PATCH", "/keys/{acme-root}", key(), 403),
    Misuse("a key that sends changes itself", "acme-writer", "PATCH", "/keys/{acme-writer}", key(), 403),
    Misuse("one that ends makes one that does not", "acme-short", "POST", "/keys", key(), 403),
    Misuse("one that ends makes one that outlives it", "acme-short", "POST", "/keys", key(expiresInSeconds=3601), 403),
    Misuse("one that ends renews one that does not", "acme-short", "POST", "/keys/{acme-writer}/rotate", {}, 403),
    Misuse("one that ends renews itself", "acme-short", "POST", "/keys/{acme-short}/rotate", {}, 403),
    Misuse("one that ends lengthens itself", "acme-short", "PATCH", "/keys/{acme-short}",
           {"expiresInSeconds": 7200}, 403),
    Misuse("one that ends frees itself", "acme-short", "PATCH", "/keys/{acme-short}", {"expiresInSeconds": None}, 403),
    Misuse("more than the tenant may send", "acme-admin", "POST", "/keys", key(requestsPerSecond=1001), 403),
    Misuse("a change to more than the tenant may send", "acme-admin", "PATCH", "/keys/{acme-writer}",
           {"requestsPerSecond": 1001}, 403),
    Misuse("one type only, all types", "acme-purchases", "POST", "/keys", key(), 403),
    Misuse(
        "one type only, another", "acme-purchases", "POST", "/keys", key(eventTypes=["purchase", "page_view"]), 403
    ),
    Misuse("a tenant's renews an admin", "acme-admin", "POST", "/keys/{acme-root}/rotate", {}, 403),
    Misuse("a tenant's ends an admin", "acme-admin", "POST", "/keys/{acme-root}/revoke", None, 403),
    Misuse("a tenant makes a tenant", "acme-admin", "POST", "/tenants", {"id": "mine"}, 403),
    Misuse(
        "a tenant lifts its quota", "acme-admin", "PATCH", "/tenants/acme", {"quota": {"eventsPerSecond": 9}}, 403
    ),
    Misuse("a tenant drops its quota", "acme-admin", "PATCH", "/tenants/acme", {"quota": {}}, 403),
    Misuse("a tenant enables itself", "acme-admin", "PATCH", "/tenants/acme", {"disabled": False}, 403),
    Misuse("a key that sends makes a device", "acme-writer", "POST", "/devices", {"id": "t-1"}, 403),
    Misuse("one that ends makes a device whose key does not", "acme-short", "POST", "/devices", {"id": "t-1"}, 403),
    # Others' tenants.
    Misuse("makes a device of another", "acme-admin", "POST", "/devices", {"id": "t-1", "tenantId": "rival"}, 403),
    Misuse("makes a key of another", "acme-admin", "POST", "/keys", key(tenantId="rival"), 403),
    Misuse("makes a key of nobody", "acme-admin", "POST", "/keys", key(tenantId="nobody"), 403),
    Misuse("lists keys of another", "acme-admin", "GET", "/keys?tenant=rival", None, 403),
    Misuse("lists keys of nobody", "acme-admin", "GET", "/keys?tenant=nobody", None, 403),
    Misuse("reads another", "acme-admin", "GET", "/tenants/rival", None, 403),
    Misuse("reads nobody", "acme-admin", "GET", "/tenants/nobody", None, 403),
    Misuse("disables another", "acme-admin", "PATCH", "/tenants/rival", {"disabled": True}, 403),
    Misuse("renews a key of another", "acme-admin", "POST", "/keys/{rival-admin}/rotate", {}, 404),
    Misuse("changes a key of another", "acme-admin", "PATCH", "/keys/{rival-admin}", {"name": "mine"}, 404),
    Misuse("ends a key of another", "acme-admin", "POST", "/keys/{rival-admin}/revoke", None, 404),
    Misuse("ends a key of nobody", "acme-admin", "POST", f"/keys/{WIDE}/revoke", None, 404),
    Misuse("goes on in another's keys", "acme-admin", "GET", "/keys?cursor=cml2YWw6MDEyMzQ1Njc4OUFC", None, 400),
    # What is not there, or is there already.
    Misuse("a key of an absent tenant", "admin", "POST", "/keys", key(tenantId="nobody"), 404),
    Misuse("keys of an absent tenant", "admin", "GET", "/keys?tenant=nobody", None, 404),
    Misuse("an absent device", "admin", "POST", "/keys", key(tenantId="acme", deviceId="t-7"), 404),
    Misuse("an absent tenant", "admin", "PATCH", "/tenants/nobody", {"disabled": True}, 404),
    Misuse("a tenant that is there", "admin", "POST", "/tenants", {"id": "acme"}, 409),
    Misuse("a device of an absent tenant", "admin", "POST", "/devices", {"id": "t-1", "tenantId": "nobody"}, 404),
    # Requests that make no sense.
    Misuse("a device of no tenant", "admin", "POST", "/devices", {"id": "t-1"}, 400),
    Misuse("a device without an id", "admin", "POST", "/devices", {"tenantId": "acme"}, 400),
    Misuse("a device with a slash", "admin", "POST", "/devices", {"id": "a/b", "tenantId": "acme"}, 400),
    Misuse("a device with rights", "admin", "POST", "/devices", {"id": "t", "tenantId": "acme", "scopes": []}, 400),
    Misuse("too much about a device", "admin", "POST", "/devices",
           {"id": "t", "tenantId": "acme", "metadata": {str(number): number for number in range(65)}}, 400),
    Misuse("a key of no tenant", "admin", "POST", "/keys", key(), 400),
    Misuse("no body", "admin", "POST", "/keys", None, 400),
    Misuse("no JSON", "admin", "POST", "/keys", b"{", 400),
    Misuse("a list", "admin", "POST", "/keys", [], 400),
    Misuse("thousands of brackets", "admin", "POST", "/keys", b"[" * 100_000, 400),
    Misuse("no name", "admin", "POST", "/keys", {"tenantId": "acme"}, 400),
    Misuse("a name with a line feed", "admin", "POST", "/keys", key(tenantId="acme", name="a\nb"), 400),
    Misuse("a name that cannot be seen", "admin", "POST", "/keys", key(tenantId="acme", name=" \u200b"), 400),
    Misuse("a name that turns the text", "admin", "POST", "/keys", key(tenantId="acme", name="web \u202ebackup"), 400),
    Misuse("a change to a name that cannot be seen", "admin", "PATCH", "/keys/{acme-writer}", {"name": " "}, 400),
    Misuse("a field that is unknown", "admin", "POST", "/keys", key(tenantId="acme", digest="0" * 64), 400),
    Misuse("an id of the caller's choice", "admin", "POST", "/keys", key(tenantId="acme", id=WIDE), 400),
    Misuse("no scopes", "admin", "POST", "/keys", key(tenantId="acme", scopes=[]), 400),
    Misuse("a scope that is unknown", "admin", "POST", "/keys", key(tenantId="acme", scopes=["all"]), 400),
    Misuse("a life of no time", "admin", "POST", "/keys", key(tenantId="acme", expiresInSeconds=0), 400),
    Misuse("an endless life", "admin", "POST", "/keys", key(tenantId="acme", expiresInSeconds=10**18), 400),
    Misuse("a public reader", "admin", "POST", "/keys",
           key(tenantId="acme", origins=["https://a.example"], scopes=["events:read"]), 400),
    Misuse("an origin with a path", "admin", "POST", "/keys", key(tenantId="acme", origins=["https://a.b/x"]), 400),
    Misuse("a tenant with a slash", "admin", "POST", "/tenants", {"id": "a/b"}, 400),
    Misuse("a misspelt quota", "admin", "POST", "/tenants", {"id": "typo", "quota": {"eventPerSecond": 1}}, 400),
    Misuse("a quota of nothing", "admin", "PATCH", "/tenants/acme", {"quota": {"eventsPerSecond": 0}}, 400),
    Misuse("a change of nothing", "admin", "PATCH", "/tenants/acme", {}, 400),
    Misuse("a change of the id", "admin", "PATCH", "/tenants/acme", {"id": "other"}, 400),
    Misuse("a change of no field of a key", "admin", "PATCH", "/keys/{acme-writer}", {}, 400),
    Misuse("a change of scopes", "admin", "PATCH", "/keys/{acme-writer}", {"scopes": ["admin"]}, 400),
    Misuse("a change of the tenant", "admin", "PATCH", "/keys/{acme-writer}", {"tenantId": "rival"}, 400),
    Misuse("a change to no requests", "admin", "PATCH", "/keys/{acme-writer}", {"requestsPerSecond": 0}, 400),
    Misuse("a change to no time", "admin", "PATCH", "/keys/{acme-writer}", {"expiresInSeconds": 0}, 400),
    Misuse("a change to no name", "admin", "PATCH", "/keys/{acme-writer}", {"name": ""}, 400),
    Misuse("an overlap of a year", "admin", "POST", "/keys/{acme-writer}/rotate", {"overlapSeconds": 31_536_000}, 400),
    Misuse("an overlap below zero", "admin", "POST", "/keys/{acme-writer}/rotate", {"overlapSeconds": -1}, 400),
    Misuse("too long a page", "admin", "GET", "/keys?limit=201", None, 400),
    Misuse("an unknown parameter", "admin", "GET", "/tenants?tenant=acme", None, 400),
    Misuse("a parameter twice", "admin", "GET", "/keys?tenant=acme&tenant=rival", None, 400),
    Misuse("a parameter of a change", "admin", "POST", "/keys?tenantId=acme", key(tenantId="acme"), 400),
    Misuse("a cursor that is none", "admin", "GET", "/keys?cursor=%22%20OR%201", None, 400),
    Misuse("a cursor of the other list", "admin", "GET", "/tenants?cursor=cml2YWw6MDEyMzQ1Njc4OUFC", None, 400),
    Misuse("a key's id that is none", "admin", "POST", "/keys/acme%3A1/revoke", None, 404),
    Misuse("a tenant's id of a thousand letters", "admin", "GET", f"/tenants/{'a' * 1000}", None, 404),
    Misuse("a field that stands twice", "admin", "POST", "/tenants", b'{"id": "rival", "id": "mine"}', 400),
    Misuse("a field that stands twice within", "admin", "PATCH", "/tenants/acme",
           b'{"quota": {"eventsPerSecond": 1, "eventsPerSecond": 9}}', 400),
    Misuse("a body that is no JSON", "admin", "POST", "/tenants", b"id=mine", 400),
    Misuse("a slash behind an id", "admin", "GET", "/tenants/acme/", None, 404),
    Misuse("an escaped slash behind an id", "admin", "GET", "/tenants/acme%2f", None, 404),
    Misuse("an address that is not there", "admin", "GET", "/tenants/acme/keys", None, 404),
    Misuse("a method that is for nothing", "admin", "DELETE", "/tenants/acme", None, 405),
    Misuse("too long a body", "admin", "POST", "/tenants", b" " * 300_000, 413),
]  # fmt: skip


@pytest.mark.parametrize("misuse", MISUSES, ids=[each.name for each in MISUSES])
def test_an_administrator_is_refused(office: Office, misuse: Misuse) -> None:
    before = state_of(office)
    path = misuse.path.format(**{name: office.id_of(name) for name in office.made})

    answer = office.ask(misuse.who, misuse.method, path, misuse.content)

    assert answer.status == misuse.status, answer.body
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json["status"] == misuse.status
    assert answer.json["type"] == TYPES[misuse.status]
    assert "rival" not in answer.body.decode()
    assert state_of(office) == before


def state_of(office: Office) -> list[Any]:
    """All tenants and keys, without when these were used."""
    keys = office.on_page(MANAGER, "GET", "/keys?limit=200").json["keys"]
    used = {"lastUsedAt": None}
    return [office.on_page(MANAGER, "GET", "/tenants?limit=200").json, [each | used for each in keys]]


@pytest.mark.parametrize(
    "token",
    [None, "", "cs_AAAAAAAAAAAA_wrong", MANAGER, ACME_MANAGER],
    ids=["no key", "an empty one", "a wrong one", "the page's token", "a tenant's token of the page"],
)
def test_who_has_no_key_administers_nothing(office: Office, token: str | None) -> None:
    for method, path in (("GET", "/tenants"), ("POST", "/keys"), ("POST", "/keys/AAAAAAAAAAAA/revoke")):
        answer = office.dashboard.call(
            f"/api/v1{path}",
            token=token,
            method=method,
            content={} if method == "POST" else None,
            address=STRANGER,
        )
        assert answer.status == 401
        assert answer.headers["www-authenticate"].startswith("Bearer")


def test_a_missing_scope_is_named(office: Office) -> None:
    answer = office.ask("acme-writer", "GET", "/keys")

    assert 'error="insufficient_scope", scope="tenant:admin"' in answer.headers["www-authenticate"]


PAGE_MISUSES = [
    (OPERATOR, "PATCH", "/keys/{acme-writer}", {"name": "mine"}, 403),
    (ACME_MANAGER, "PATCH", "/keys/{rival-admin}", {"name": "mine"}, 404),
    (ACME_MANAGER, "PATCH", "/keys/{acme-root}", {"name": "mine"}, 403),
    (ACME_MANAGER, "POST", "/keys", key(requestsPerSecond=1001), 403),
    *((token, "GET", path, None, 403) for token in (VIEWER, OPERATOR) for path in ("/tenants", "/keys?tenant=acme")),
    (OPERATOR, "POST", "/keys", key(tenantId="acme"), 403),
    (OPERATOR, "POST", "/tenants", {"id": "mine"}, 403),
    (ACME_MANAGER, "POST", "/tenants", {"id": "mine"}, 403),
    (ACME_MANAGER, "PATCH", "/tenants/acme", {"quota": {"eventsPerSecond": 9}}, 403),
    (ACME_MANAGER, "GET", "/keys?tenant=rival", None, 403),
    (ACME_MANAGER, "GET", "/tenants/rival", None, 403),
    (ACME_MANAGER, "POST", "/keys", key(tenantId="rival"), 403),
    (ACME_MANAGER, "POST", "/keys", key(scopes=["admin"]), 403),
    (ACME_MANAGER, "POST", "/keys/{acme-root}/rotate", {}, 403),
    (ACME_MANAGER, "POST", "/keys/{rival-admin}/revoke", None, 404),
    ("nobody-0123456789abcdef", "GET", "/tenants", None, 401),
]


@pytest.mark.parametrize(("token", "method", "path", "content", "status"), PAGE_MISUSES)
def test_a_person_is_refused(office: Office, token: str, method: str, path: str, content: Any, status: int) -> None:
    before = state_of(office)

    answer = office.on_page(token, method, path.format(**{name: office.id_of(name) for name in office.made}), content)

    assert answer.status == status, answer.body
    assert state_of(office) == before


def test_another_site_s_page_changes_nothing(office: Office) -> None:
    before = state_of(office)
    for headers in ({}, {**OWN_PAGE, "Origin": "https://evil.example"}):
        for method, path in (("POST", "/tenants"), ("PATCH", "/tenants/acme"), ("POST", "/keys"), ("PATCH", "/keys/A")):
            answer = office.dashboard.call(
                f"/api/access{path}", token=MANAGER, method=method, content={"id": "evil"}, headers=headers
            )
            assert answer.status == 403
    assert state_of(office) == before


def test_keys_do_not_open_the_page_s_addresses(office: Office) -> None:
    assert office.on_page(office.made["admin"].text, "GET", "/tenants").status == 401


def test_a_person_s_changes_are_recorded_with_the_name(office: Office) -> None:
    made = office.on_page(ACME_MANAGER, "POST", "/keys", {"name": "till", "scopes": ["events:read"]})
    assert (made.status, made.json["tenantId"]) == (201, "acme")

    newest = office.dashboard.call("/api/pipeline", token=MANAGER).json["audit"][0]

    assert (newest["who"], newest["act"], newest["outcome"]) == ("anna", "create key", f"key {made.json['id']} made")
