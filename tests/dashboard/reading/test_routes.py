"""The reading API, asked over HTTP."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from msgspec import structs
from tests.dashboard.reading.known_callers import KnownCallers, bearer
from tests.servers.reading import reading_client
from tests.store.creating import create_all
from tests.store.test_creation_order import created

from cloudscale.dashboard.reading.rates import ReadingRates
from cloudscale.events.timestamps import as_utc
from cloudscale.store.profiles import Profile, ProfileStore, partition_of, profile_id

if TYPE_CHECKING:
    from collections.abc import Mapping

    import aiohttp

    from cloudscale.pipeline import EventPipeline
    from cloudscale.settings import Settings
    from cloudscale.store.events import EventStore

AT = datetime(2024, 5, 2, 10, tzinfo=UTC)
CONTOSO, FABRIKAM = bearer("contoso-key"), bearer("fabrikam-key")


async def ask(
    client: aiohttp.ClientSession, path: str, headers: Mapping[str, str] = CONTOSO, /, **parameters: Any
) -> tuple[int, Any, Mapping[str, str]]:
    """Status, content and headers of an answer."""
    async with client.get(path, headers=headers, params=parameters) as response:
        return response.status, await response.json(content_type=None), response.headers


async def ids(
    client: aiohttp.ClientSession, headers: Mapping[str, str] = CONTOSO, **parameters: str | int
) -> list[str]:
    """The ids of the events of one page."""
    status, content, _ = await ask(client, "/api/v1/events", headers, **parameters)
    assert status == 200, content
    return [each["eventId"] for each in content["events"]]


def of_contoso(event_id: str, at: datetime = AT, **fields: Any) -> dict[str, Any]:
    return created(event_id, at, tenant="contoso", eventId=event_id, **fields)


async def test_an_event_is_shown_as_it_was_sent_with_what_was_found_out(
    client: aiohttp.ClientSession, store: EventStore
) -> None:
    await create_all(store, [of_contoso("e1", url="https://contoso.example", acceptedIn="b", suspicious=True)])

    status, content, headers = await ask(client, "/api/v1/events/e1")

    assert status == 200
    assert headers["Cache-Control"] == "no-store"
    assert content == {
        "eventId": "e1",
        "tenantId": "contoso",
        "eventType": "page_view",
        "correlationId": "c1",
        "createdAt": as_utc(AT),
        "receivedAt": "2024-05-01T10:00:00.000000Z",
        "url": "https://contoso.example",
        "suspicious": True,
    }


async def test_events_are_found_by_each_parameter(client: aiohttp.ClientSession, store: EventStore) -> None:
    await create_all(
        store,
        [
            of_contoso("1"),
            of_contoso("2", userId="ada"),
            of_contoso("3", eventType="purchase"),
            of_contoso("4", suspicious=True),
            of_contoso("5", suspicious=False),
            of_contoso("6", AT + timedelta(days=40)),
        ],
    )

    assert await ids(client, id="1") == ["1"]
    assert await ids(client, user="ada") == ["2"]
    assert await ids(client, type="purchase") == ["3"]
    assert await ids(client, suspicious="true") == ["4"]
    assert await ids(client, suspicious="false") == ["5"]
    assert await ids(client, since=as_utc(AT + timedelta(seconds=1))) == ["6"]
    assert await ids(client, until=as_utc(AT + timedelta(seconds=1)), limit=2) == ["1", "2"]
    assert await ids(client, order="asc", limit=1) == ["1"]
    assert await ids(client, order="desc", limit=1) == ["6"]
    assert await ids(client, user="nobody") == []


async def test_what_is_further_ahead_than_clocks_are_wrong_is_listed_where_the_range_names_it(
    client: aiohttp.ClientSession, store: EventStore
) -> None:
    now = datetime.now(UTC)
    await create_all(
        store, [of_contoso("soon", now + timedelta(hours=23)), of_contoso("far", now + timedelta(days=400))]
    )

    assert await ids(client) == ["soon"]
    assert await ids(client, until=as_utc(now + timedelta(days=500))) == ["far", "soon"]
    assert await ids(client, since=as_utc(now + timedelta(days=300))) == ["far"]
    assert (await ask(client, "/api/v1/events/far"))[0] == 200


async def test_pages_lead_to_each_event_once_while_others_come(
    client: aiohttp.ClientSession, store: EventStore
) -> None:
    expected = [f"{number:02}" for number in range(25)]
    await create_all(store, [of_contoso(each, AT - timedelta(days=3 * int(each))) for each in expected])
    found: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        status, content, _ = await ask(client, "/api/v1/events", type="page_view", limit=4, **cursor)
        assert status == 200
        found += [each["eventId"] for each in content["events"]]
        if content["next"] is None:
            break
        cursor = {"cursor": content["next"]}
        await create_all(store, [of_contoso(f"new-{len(found)}", AT + timedelta(days=1))])

    assert found == expected


async def test_a_user_is_shown_whatever_the_id(client: aiohttp.ClientSession, store: EventStore) -> None:
    profiles = ProfileStore(store)
    for name in ("ada", "a/b?c#d", "漢字 🙂"):
        key = partition_of("contoso", name)
        profile = Profile(
            id=profile_id(name),
            partition_key=key,
            tenant_id="contoso",
            user_id=name,
            score=61,
            events=2,
            counts={"purchase": 1},
            purchases={"EUR": 9.99},
            first_seen="2024-05-01T00:00:00.000000Z",
            last_seen="2024-05-02T00:00:00.000000Z",
            position={"00-FF": 7},
        )
        assert await profiles.write([profile])
        async with client.get(f"/api/v1/users/{quote(name, safe='')}", headers=CONTOSO) as response:
            assert response.status == 200
            assert await response.json() == {
                "tenantId": "contoso",
                "userId": name,
                "score": 61,
                "events": 2,
                "counts": {"purchase": 1},
                "purchases": {"EUR": 9.99},
                "firstSeen": "2024-05-01T00:00:00.000000Z",
                "lastSeen": "2024-05-02T00:00:00.000000Z",
            }
        assert (await ask(client, f"/api/v1/users/{quote(name, safe='')}", FABRIKAM))[0] == 404


async def test_another_tenant_s_event_is_not_there(client: aiohttp.ClientSession, store: EventStore) -> None:
    await create_all(store, [created("theirs", AT, tenant="fabrikam", eventId="theirs"), of_contoso("ours")])

    theirs = await ask(client, "/api/v1/events/theirs")
    nothing = await ask(client, "/api/v1/events/nothing")

    assert theirs[:2] == nothing[:2]
    assert theirs[0] == 404
    assert await ids(client) == ["ours"]
    assert await ids(client, id="theirs") == []
    assert await ids(client, FABRIKAM) == ["theirs"]


async def test_one_caller_s_requests_are_limited_and_another_s_are_not(
    resource: EventPipeline,
    settings: Settings,
    store: EventStore,
) -> None:
    rates = ReadingRates(burst=2, per_second=0.01)
    async with reading_client(resource, settings, callers=KnownCallers(), rates=rates) as client:
        statuses = [(await ask(client, "/api/v1/events"))[0] for _ in range(3)]
        refused = await ask(client, "/api/v1/users/ada")

        assert statuses == [200, 200, 429]
        assert refused[1]["type"] == "urn:cloudscale:problem:rate-limited"
        assert int(refused[2]["Retry-After"]) > 1
        assert (await ask(client, "/api/v1/events", bearer("another-key-of-contoso")))[0] == 200


async def test_a_store_that_is_away_is_said_without_its_address(resource: EventPipeline, settings: Settings) -> None:
    away = "AccountEndpoint=http://127.0.0.1:9/;AccountKey=QUJD;"
    async with reading_client(
        resource, structs.replace(settings, cosmos_connection_string=away), callers=KnownCallers()
    ) as client:
        status, content, headers = await ask(client, "/api/v1/events")

    assert (status, content["type"]) == (503, "urn:cloudscale:problem:unavailable")
    assert "127.0.0.1" not in str(content)
    assert headers["Retry-After"]
