"""Whatever a client sends that cannot be read is its own mistake: 400 or the like, never 500."""

from __future__ import annotations

import base64
import hmac
from contextlib import asynccontextmanager
from email.utils import formatdate
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.emulators.cosmos.stores import emulator_of, open_catalogue

from cloudscale.emulators.cosmos.authorization import Authorization, resource_of
from cloudscale.emulators.cosmos.decoding import http_date, whole_number
from cloudscale.emulators.cosmos.protocol import Request, Response
from cloudscale.emulators.cosmos.routing import Router

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

KEY = b"k" * 64
ITEMS = "/dbs/db/colls/items/docs"
PARTITION = {"x-ms-documentdb-partitionkey": '["a"]'}
QUERY = {"x-ms-documentdb-isquery": "true", "x-ms-documentdb-query-enablecrosspartition": "true"}
BATCH = {**PARTITION, "x-ms-cosmos-is-batch-request": "true", "x-ms-cosmos-batch-atomic": "true"}
FEED = {"a-im": "Incremental feed"}
# Deeper than the decoder goes with any interpreter: since Python 3.12 that is some ten thousand levels.
DEEP = b"[" * 100_000 + b"]" * 100_000
# Shallow enough to be decoded, too deep to be worked on with what the stack has left then.
NEARLY_TOO_DEEP = b"[" * 900 + b"]" * 900
NO_UTF8 = b'"\xff"'
HUGE = b"1" * 400


@asynccontextmanager
async def open_router(directory: Path) -> AsyncIterator[Router]:
    """The container ``items`` with one item, behind everything but the socket."""
    async with open_catalogue(directory) as (storage, catalogue):
        items = catalogue.container("db", "items")
        await storage.write(lambda: items.create(b'{"id":"1","pk":"a","n":1e308}', None))
        yield Router(emulator_of(storage, catalogue), Authorization(base64.b64encode(KEY).decode()))


async def send(router: Router, method: str, path: str, headers: dict[str, str], body: bytes) -> Response:
    """Send a request that is properly signed."""
    kind, link = resource_of(path)
    date = formatdate(usegmt=True)
    payload = f"{method.lower()}\n{kind}\n{link}\n{date.lower()}\n\n"
    signature = base64.b64encode(hmac.digest(KEY, payload.encode(), "sha256")).decode()
    signed = {"x-ms-date": date, "authorization": f"type=master&ver=1.0&sig={signature}", **headers}
    return await router(Request(method, path, signed, body))


def asking(query: bytes, parameter: bytes = b"null") -> bytes:
    """The body of a query with the parameter ``@p``."""
    return b'{"query":%b,"parameters":[{"name":"@p","value":%b}]}' % (msgspec.json.encode(query.decode()), parameter)


WITH_PARAMETER = b"SELECT VALUE c.id FROM c WHERE c.pk = @p"
UNREADABLE: list[tuple[str, str, dict[str, str], bytes]] = [
    *[
        request
        for text in (DEEP, NO_UTF8, b"{")
        for request in (
            ("POST", "/dbs", {}, b'{"id":"x","more":%b}' % text),
            ("POST", "/dbs/db/colls", {}, b'{"id":"x","more":%b}' % text),
            ("POST", ITEMS, PARTITION, b'{"id":"x","pk":"a","more":%b}' % text),
            ("POST", ITEMS, QUERY, asking(b"SELECT * FROM c", text)),
            ("POST", "/dbs", QUERY, asking(b"SELECT * FROM c", text)),
            ("POST", ITEMS, BATCH, b'[{"operationType":%b}]' % text),
            ("PATCH", f"{ITEMS}/1", PARTITION, b'[{"op":"set","path":"/x","value":%b}]' % text),
            ("PUT", "/$faults", {}, b'{"stall":%b}' % text),
        )
    ],
    ("POST", ITEMS, QUERY, asking(b'SELECT VALUE "\\ud83d" FROM c')),
    ("POST", ITEMS, QUERY, asking(b'SELECT VALUE "\\ude00\\ud83d" FROM c')),
    ("POST", ITEMS, QUERY, asking(b"SELECT VALUE %b FROM c" % HUGE)),
    ("POST", ITEMS, QUERY, asking(b"SELECT VALUE %b FROM c" % (HUGE * 20))),
    ("POST", ITEMS, QUERY, asking(b"SELECT VALUE 1e400 FROM c")),
    ("POST", ITEMS, QUERY, asking(b"SELECT VALUE 0x%b FROM c" % HUGE)),
    ("POST", ITEMS, QUERY, asking(b"SELECT VALUE c.id FROM c WHERE c.n = @p", HUGE)),
    ("POST", ITEMS, {}, b'{"id":"x","pk":%b}' % HUGE),
    ("POST", ITEMS, {"x-ms-documentdb-partitionkey": "[" * 5_000}, b'{"id":"x","pk":"a"}'),
    ("POST", ITEMS, {"x-ms-documentdb-partitionkey": "5"}, b'{"id":"x","pk":"a"}'),
    ("PATCH", f"{ITEMS}/1", PARTITION, b'[{"op":"incr","path":"/n","value":1e308}]'),
    ("PATCH", f"{ITEMS}/1", PARTITION, b'[{"op":"incr","path":"/n","value":%b}]' % HUGE),
    ("GET", ITEMS, {"x-ms-documentdb-partitionkeyrangeid": "²"}, b""),
    ("GET", ITEMS, {"x-ms-documentdb-partitionkeyrangeid": "1" * 5_000}, b""),
    ("GET", ITEMS, {"x-ms-continuation": "é"}, b""),
    ("GET", ITEMS, {"x-ms-continuation": base64.b64encode(DEEP).decode()}, b""),
    ("GET", ITEMS, {**FEED, "if-none-match": "²"}, b""),
    ("GET", ITEMS, {**FEED, "if-none-match": "1" * 5_000}, b""),
    ("GET", ITEMS, {**FEED, "if-modified-since": "Mon, 01 Jan 99999999999999999999 00:00:00 GMT"}, b""),
    ("POST", "/dbs", {"x-ms-offer-throughput": "²"}, b'{"id":"x"}'),
    ("POST", "/dbs", {"x-ms-cosmos-offer-autopilot-settings": "[" * 5_000}, b'{"id":"x"}'),
]  # fmt: skip


@pytest.mark.parametrize("name", ["with/slash", "back\\slash", "what?", "a#b", "100%", "a%2Fb"])
async def test_an_item_is_found_by_an_id_of_any_characters(tmp_path: Path, name: str) -> None:
    async with open_router(tmp_path) as router:
        created = await send(router, "POST", ITEMS, PARTITION, msgspec.json.encode({"id": name, "pk": "a"}))
        assert created.status == 201
        for method, status in (("GET", 200), ("DELETE", 204), ("GET", 404)):
            path = f"{ITEMS}/{quote(name, safe='')}"
            assert (await send(router, method, path, PARTITION, b"")).status == status


async def test_what_cannot_be_read_is_the_clients_mistake(tmp_path: Path) -> None:
    async with open_router(tmp_path) as router:
        statuses = {
            (method, path, str(headers)[:200], body[:200]): (await send(router, method, path, headers, body)).status
            for method, path, headers, body in UNREADABLE
        }
    assert {request: status for request, status in statuses.items() if status not in (400, 410)} == {}


async def test_a_value_that_is_nested_too_deeply_to_work_on_is_refused(tmp_path: Path) -> None:
    async with open_router(tmp_path) as router:
        for body in (asking(WITH_PARAMETER, NEARLY_TOO_DEEP), asking(WITH_PARAMETER, b'{"a":%b}' % NEARLY_TOO_DEEP)):
            assert (await send(router, "POST", ITEMS, QUERY, body)).status in (200, 400)


@pytest.mark.parametrize("size", ["²", "--5", "-1", "", "1" * 5_000, "x"])
async def test_a_page_size_that_makes_no_sense_is_the_services_own(tmp_path: Path, size: str) -> None:
    async with open_router(tmp_path) as router:
        response = await send(router, "GET", ITEMS, {"x-ms-max-item-count": size}, b"")
        assert response.status == 200


@pytest.mark.parametrize(
    ("literal", "value"),
    [
        (r'"\ud83d\ude00 \u00e9"', "😀 é"),
        ("'😀'", "😀"),
        ("1" + "0" * 29, 1e29),
        ("0xff", 255),
        ("1234567890123456789", 1234567890123456789),
    ],
)
async def test_literals_have_the_value_that_they_are_written_with(tmp_path: Path, literal: str, value: Any) -> None:
    async with open_router(tmp_path) as router:
        response = await send(router, "POST", ITEMS, QUERY, asking(f"SELECT VALUE {literal} FROM c".encode()))  # noqa: S608
        assert msgspec.json.decode(response.body)["Documents"] == [value]


async def test_an_index_beyond_all_arrays_finds_nothing(tmp_path: Path) -> None:
    async with open_router(tmp_path) as router:
        body = asking(b"SELECT VALUE @p[%d] FROM c" % 2**32, b"[7]")
        response = await send(router, "POST", ITEMS, QUERY, body)
        assert msgspec.json.decode(response.body)["Documents"] == []


@given(st.text(st.characters(max_codepoint=0x2FF)))
def test_a_header_is_a_whole_number_or_none(text: str) -> None:
    number = whole_number(text)
    assert number is None or (number == int(text) and number < 2**63)


@given(st.integers(0, 10**18 - 1))
def test_whole_numbers_are_read(number: int) -> None:
    assert whole_number(str(number)) == number


@pytest.mark.parametrize(
    "text",
    ["", "soon", "Mon, 01 Jan 2001 00:00:00 +9999", "Mon, 01 Jan 2001 00:00:00 +99999999999999999999"],
)
def test_what_is_no_date_is_none(text: str) -> None:
    assert http_date(text) is None


def test_a_date_without_a_zone_is_in_utc() -> None:
    assert http_date("Sat, 01 Jan 2000 00:00:00 -0000") == http_date("Sat, 01 Jan 2000 00:00:00 GMT")
