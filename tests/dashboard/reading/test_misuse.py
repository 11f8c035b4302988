"""What the reading API refuses, and how it says so."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from tests.dashboard.reading.known_callers import bearer
from tests.dashboard.reading.test_routes import CONTOSO, FABRIKAM, ask
from tests.store.creating import create_all
from tests.store.test_creation_order import created

if TYPE_CHECKING:
    import aiohttp

    from cloudscale.store.events import EventStore

PATHS = ["/api/v1/events", "/api/v1/events/e1", "/api/v1/users/ada"]
CHALLENGE = 'Bearer realm="cloudscale"'

UNAUTHENTICATED: list[tuple[dict[str, str], str]] = [
    ({}, CHALLENGE),
    ({"Authorization": ""}, CHALLENGE),
    ({"Authorization": "Bearer"}, f'{CHALLENGE}, error="invalid_token"'),
    ({"Authorization": "Bearer "}, f'{CHALLENGE}, error="invalid_token"'),
    ({"Authorization": "Bearer wrong"}, f'{CHALLENGE}, error="invalid_token"'),
    ({"Authorization": "Bearer contoso-key, Bearer fabrikam-key"}, f'{CHALLENGE}, error="invalid_token"'),
    ({"Authorization": "Basic Y29udG9zby1rZXk6"}, f'{CHALLENGE}, error="invalid_request"'),
    ({"Authorization": "contoso-key"}, f'{CHALLENGE}, error="invalid_request"'),
    ({"Cookie": "cloudscale-session=contoso-key"}, CHALLENGE),
    ({"X-Api-Key": "contoso-key"}, CHALLENGE),
]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(("headers", "challenge"), UNAUTHENTICATED)
async def test_who_proves_nothing_is_refused_with_a_challenge(
    client: aiohttp.ClientSession, path: str, headers: dict[str, str], challenge: str
) -> None:
    status, content, answered = await ask(client, path, headers)

    assert (status, content["status"], content["type"]) == (401, 401, "urn:cloudscale:problem:unauthenticated")
    assert answered["Content-Type"] == "application/problem+json"
    assert answered["WWW-Authenticate"] == challenge


@pytest.mark.parametrize("path", PATHS)
async def test_several_authorization_headers_are_refused(client: aiohttp.ClientSession, path: str) -> None:
    several = [("Authorization", "Bearer contoso-key"), ("Authorization", "Bearer fabrikam-key")]
    async with client.get(path, headers=several) as response:
        assert response.status == 400
        assert response.headers["WWW-Authenticate"] == f'{CHALLENGE}, error="invalid_request"'


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("key", ["writer-key", "admin-key"])
async def test_a_key_without_the_scope_is_told_which(client: aiohttp.ClientSession, path: str, key: str) -> None:
    status, content, headers = await ask(client, path, bearer(key))

    assert (status, content["type"]) == (403, "urn:cloudscale:problem:forbidden")
    assert headers["WWW-Authenticate"] == f'{CHALLENGE}, error="insufficient_scope", scope="events:read"'


@pytest.mark.parametrize("path", PATHS)
async def test_a_disabled_tenant_reads_nothing(client: aiohttp.ClientSession, path: str) -> None:
    assert (await ask(client, path, bearer("disabled")))[0] == 403


@pytest.mark.parametrize("path", PATHS)
async def test_a_directory_that_is_away_refuses_nobody_for_good(client: aiohttp.ClientSession, path: str) -> None:
    status, content, headers = await ask(client, path, bearer("unknown-now"))

    assert status == 503
    assert headers["Retry-After"] == "1"
    assert "10.0.0.7" not in str(content)


@pytest.mark.parametrize("name", ["key", "api_key", "access_token", "token", "tenant"])
async def test_a_key_in_the_address_opens_nothing_and_is_not_repeated(client: aiohttp.ClientSession, name: str) -> None:
    assert (await ask(client, "/api/v1/events", {}, **{name: "contoso-key"}))[0] == 401
    status, content, _ = await ask(client, "/api/v1/events", CONTOSO, **{name: "fabrikam-key"})

    assert status == 400
    assert content["errors"][0]["parameter"] == name
    assert "fabrikam-key" not in str(content)


WRONG: list[tuple[str, str]] = [
    *(("limit", value) for value in ("0", "201", "-1", "1e2", "٣", "", "9" * 5000, "50.0")),
    *(("order", value) for value in ("", "DESC", "createdAt")),
    *(("suspicious", value) for value in ("", "1", "True")),
    *(
        (name, value)
        for name in ("since", "until")
        for value in (
            *("", "yesterday", "2024-05-02", "2024-05-02T10:00:00", "2024-13-01T00:00:00Z", "1715000000"),
            *("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "1969-12-31T23:59:59Z", "2101-01-01T00:00:01Z"),
        )
    ),
    *(("id", value) for value in ("", "..", "a/b", "x" * 256, "a\n")),
    *((name, value) for name in ("user", "type") for value in ("", "x" * 129, "a\x00")),
    *(
        ("cursor", value)
        for value in (
            "",
            "x",
            "AAAA",
            "=",
            "!",
            "é",
            "A" * 3000,
            base64.urlsafe_b64encode(b"\x94\x01\x02\x03\x04").decode(),
        )
    ),
]


@pytest.mark.parametrize(("name", "value"), WRONG)
async def test_a_wrong_parameter_is_named(client: aiohttp.ClientSession, name: str, value: str) -> None:
    status, content, headers = await ask(client, "/api/v1/events", **{name: value})

    assert (status, content["type"]) == (400, "urn:cloudscale:problem:invalid-request")
    assert headers["Content-Type"] == "application/problem+json"
    assert [each["parameter"] for each in content["errors"]] == [name]
    assert len(str(content)) < 1000


async def test_all_wrong_parameters_are_named_at_once(client: aiohttp.ClientSession) -> None:
    _, content, _ = await ask(client, "/api/v1/events", limit="x", order="x", other="x")

    assert {each["parameter"] for each in content["errors"]} == {"limit", "order", "other"}


@pytest.mark.parametrize("query", ["limit=1&limit=2", "user=a&user=b", "cursor=a&cursor=b"])
async def test_a_parameter_that_is_given_twice_is_refused(client: aiohttp.ClientSession, query: str) -> None:
    async with client.get(f"/api/v1/events?{query}", headers=CONTOSO) as response:
        assert response.status == 400
        assert "more than once" in await response.text()


async def test_a_range_that_ends_before_it_begins_is_refused(client: aiohttp.ClientSession) -> None:
    times = {"since": "2024-05-02T10:00:00Z", "until": "2024-05-02T10:00:00Z"}
    _, content, _ = await ask(client, "/api/v1/events", **times)

    assert content["errors"] == [{"parameter": "until", "message": "must be after since"}]


@pytest.mark.parametrize("path", ["/api/v1/events/e1", "/api/v1/users/ada"])
async def test_an_address_of_one_thing_takes_no_parameters(client: aiohttp.ClientSession, path: str) -> None:
    assert (await ask(client, path, tenant="fabrikam"))[0] == 400


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
@pytest.mark.parametrize("path", PATHS)
async def test_nothing_is_changed_by_reading_addresses(client: aiohttp.ClientSession, path: str, method: str) -> None:
    async with client.request(method, path, headers=CONTOSO) as response:
        assert response.status == 405
        assert response.headers["Content-Type"] == "application/problem+json"
        assert "Access-Control-Allow-Origin" not in response.headers


async def first_page(client: aiohttp.ClientSession, store: EventStore, **parameters: str) -> str:
    """The cursor behind the first page of ten events of each of two tenants."""
    for tenant in ("contoso", "fabrikam"):
        moments = [datetime.now(UTC) - timedelta(days=number) for number in range(10)]
        await create_all(
            store, [created(f"{tenant}-{number}", each, tenant=tenant) for number, each in enumerate(moments)]
        )
    _, content, _ = await ask(client, "/api/v1/events", limit=2, **parameters)
    return str(content["next"])


async def test_a_cursor_of_another_tenant_or_question_is_refused(
    client: aiohttp.ClientSession, store: EventStore
) -> None:
    cursor = await first_page(client, store)

    assert (await ask(client, "/api/v1/events", limit=3, cursor=cursor))[0] == 200
    for headers, parameters in (
        (FABRIKAM, {}),
        (CONTOSO, {"order": "asc"}),
        (CONTOSO, {"type": "page_view"}),
        (CONTOSO, {"since": "2024-05-02T10:00:00Z"}),
    ):
        status, content, _ = await ask(client, "/api/v1/events", headers, cursor=cursor, **parameters)
        assert status == 400
        assert content["errors"][0]["parameter"] == "cursor"


async def test_no_forged_cursor_leads_to_another_tenant(client: aiohttp.ClientSession, store: EventStore) -> None:
    cursor = await first_page(client, store)
    content: list[Any] = msgspec.msgpack.decode(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    digest, created_at, event_id, until = content
    forgeries: list[list[Any]] = [
        [digest, "2100-12-31T23:59:59.999999Z", None, None],
        [digest, "2100-12-31T23:59:59.999999Z", "fabrikam-0", "2100-12-31T23:59:59.999999Z"],
        [digest, created_at, "' OR c.tenantId = 'fabrikam", until],
        [digest, "fabrikam:2024-05", event_id, until],
        [digest, "9999-99-99T99:99:99.999999Z", event_id, until],
        [digest, created_at, event_id, "never"],
        [b"x" * 12, created_at, event_id, until],
        [digest, created_at, event_id, until, "fabrikam"],
        [digest, created_at, 7, until],
    ]
    statuses = []
    for forged in forgeries:
        text = base64.urlsafe_b64encode(msgspec.msgpack.encode(forged)).decode().rstrip("=")
        status, answer, _ = await ask(client, "/api/v1/events", cursor=text)
        statuses.append(status)
        assert all(each["tenantId"] == "contoso" for each in answer.get("events", []))

    assert statuses == [200, 200, 200, 400, 400, 400, 400, 400, 400]
