"""Batches are written by one request of our own, and by the SDK whenever that does not do it."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from aiohttp import web
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from msgspec import structs
from tests.store.creating import create_all
from tests.store.test_events import CREATED, REDELIVERED, document

from cloudscale.errors import BackendUnavailableError, ConfigurationError, CredentialError
from cloudscale.local.ports import find_free_ports
from cloudscale.store import direct_writes
from cloudscale.store.batches import Batch
from cloudscale.store.direct_writes import DirectWrites, open_direct_writes, url_of
from cloudscale.store.events import EventStore
from cloudscale.store.latest import EventFilter

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.servers.cosmos import CosmosServer

    from cloudscale.pipeline import Store
    from cloudscale.settings import Settings

SYSTEM_FIELDS = {"id", "_rid", "_self", "_etag", "_ts", "_attachments", "_lsn"}

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=10,
)


def batch_of(*documents: dict[str, Any]) -> Batch:
    return Batch(documents[0]["partitionKey"], list(documents), list(range(len(documents))))


@pytest.fixture
async def direct(store: EventStore, spec: Store, settings: Settings) -> AsyncIterator[DirectWrites]:
    async with open_direct_writes(spec, settings, container=store.names.events) as opened:
        yield opened


@pytest.fixture
async def by_the_sdk(spec: Store, settings: Settings) -> AsyncIterator[EventStore]:
    async with EventStore(structs.replace(spec, write_protocol="Sdk"), settings) as opened:
        yield opened


@hypothesis_settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=values, tenant=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=10))
async def test_a_document_is_stored_as_the_sdk_stores_it(
    store: EventStore, by_the_sdk: EventStore, direct: DirectWrites, data: object, tenant: str
) -> None:
    ours, theirs = (document(partitionKey=f"{tenant}:2026-11", data=data) for _ in range(2))

    assert await direct.create(batch_of(ours)) is not None
    assert await create_all(by_the_sdk, [theirs]) == [CREATED]

    stored = [(await store.find_events(EventFilter(event_id=each["id"])))[0] for each in (ours, theirs)]
    assert [{name: each[name] for name in each.keys() - SYSTEM_FIELDS} for each in stored] == [
        {name: ours[name] for name in ours.keys() - SYSTEM_FIELDS}
    ] * 2


async def test_a_full_batch_is_one_request_and_counts_its_units(direct: DirectWrites, cosmos: CosmosServer) -> None:
    before = batches_of(cosmos)

    units = await direct.create(batch_of(*[document() for _ in range(100)]))

    assert units is not None
    assert units > 100
    assert batches_of(cosmos) - before == 1


def batches_of(cosmos: CosmosServer) -> float:
    """The transactional batches that the emulator has answered."""
    return sum(
        float(line.rsplit(" ", 1)[1])
        for line in cosmos.metrics()
        if "requests_total" in line and 'operation="batch"' in line.lower()
    )


async def test_what_is_there_already_is_left_to_the_sdk(store: EventStore, direct: DirectWrites) -> None:
    await create_all(store, [document("e")])

    assert await direct.create(batch_of(document("e"), document("f"))) is None
    assert await create_all(store, [document("e"), document("f")]) == [REDELIVERED, CREATED]


async def test_text_that_is_no_unicode_is_left_to_the_sdk(direct: DirectWrites) -> None:
    assert await direct.create(batch_of(document(data="\ud800"))) is None


async def test_a_container_that_is_gone_is_made_anew(store: EventStore) -> None:
    await store.database.delete_container(store.names.events)

    with pytest.raises(BackendUnavailableError, match="a worker creates the containers anew"):
        await create_all(store, [document("e")])
    assert await create_all(store, [document("e")]) == [CREATED]


async def test_a_wrong_key_is_a_credential_error(spec: Store, settings: Settings) -> None:
    account, _, _ = settings.cosmos_connection_string.partition("AccountKey=")
    wrong = structs.replace(settings, cosmos_connection_string=f"{account}AccountKey=d3Jvbmc=")
    with pytest.raises(CredentialError):
        async with EventStore(spec, wrong) as store:
            await create_all(store, [document("e")])


async def test_without_an_account_there_is_nothing_to_write_to(spec: Store, settings: Settings) -> None:
    with pytest.raises(ConfigurationError):
        async with open_direct_writes(spec, structs.replace(settings, cosmos_connection_string=""), container="events"):
            pass


@contextlib.asynccontextmanager
async def answering(status: int, *, seconds: float = 0.0, asked: list[web.Request] | None = None) -> AsyncIterator[str]:
    """The URL of an account that answers all writes so."""

    async def answer(request: web.Request) -> web.Response:
        if asked is not None:
            asked.append(request)
        await request.read()
        await asyncio.sleep(seconds)
        return web.json_response([], status=status)

    application = web.Application()
    application.router.add_post("/{path:.*}", answer)
    runner = web.AppRunner(application, shutdown_timeout=1)
    await runner.setup()
    (port,) = find_free_ports("127.0.0.1", 1)
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        await runner.cleanup()


def at(url: str, settings: Settings) -> Settings:
    return structs.replace(settings, cosmos_connection_string=f"AccountEndpoint={url};AccountKey=a2V5;")


@pytest.mark.parametrize("status", [207, 302, 400, 403, 404, 408, 409, 410, 413, 429, 449, 500, 503])
async def test_any_answer_but_success_is_left_to_the_sdk(spec: Store, settings: Settings, status: int) -> None:
    async with (
        answering(status) as url,
        open_direct_writes(spec, at(url, settings), container="events") as direct,
    ):
        assert await direct.create(batch_of(document())) is None


async def test_an_account_that_is_away_is_left_to_the_sdk(spec: Store, settings: Settings) -> None:
    async with open_direct_writes(spec, at("http://127.0.0.1:1", settings), container="events") as direct:
        assert await direct.create(batch_of(document())) is None


async def test_an_account_that_does_not_answer_is_given_up_in_time(
    spec: Store, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(direct_writes, "READ_SECONDS", 0.2)
    async with (
        answering(200, seconds=5) as url,
        open_direct_writes(spec, at(url, settings), container="events") as direct,
    ):
        with pytest.raises(TimeoutError):
            await direct.create(batch_of(document()))


async def test_a_request_says_what_the_protocol_asks_for(spec: Store, settings: Settings) -> None:
    asked: list[web.Request] = []
    async with (
        answering(200, asked=asked) as url,
        open_direct_writes(structs.replace(spec, database="a b"), at(url, settings), container="ü") as direct,
    ):
        assert await direct.create(batch_of(document(partitionKey='t"é:2026-11'))) == 0

    (request,) = asked
    assert request.raw_path == "/dbs/a%20b/colls/%C3%BC/docs/"
    assert msgspec.json.decode(request.headers["x-ms-documentdb-partitionkey"]) == ['t"é:2026-11']
    assert request.headers["x-ms-documentdb-partitionkey"].isascii()
    assert request.headers["authorization"].startswith("type%3Dmaster%26ver%3D1.0%26sig%3D")
    assert request.headers["x-ms-date"].endswith(" GMT")
    for name in ("is-batch-request", "batch-atomic"):
        assert request.headers[f"x-ms-cosmos-{name}"] == "True"


def test_the_address_has_one_slash_after_the_account() -> None:
    assert url_of("https://a.documents.azure.com:443/", "dbs/d/colls/c") == (
        "https://a.documents.azure.com:443/dbs/d/colls/c/docs/"
    )
