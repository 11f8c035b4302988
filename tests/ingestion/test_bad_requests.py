"""Whatever is sent: a problem document of the 4xx family, and never a lost neighbour."""

from __future__ import annotations

import gzip
import socket
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.ingestion.client import page_view

from cloudscale.ingestion.content import MAXIMUM_GZIP_MEMBERS

if TYPE_CHECKING:
    from tests.ingestion.client import Client, Response
    from tests.servers.ingestion import IngestionServer

JSON = {"Content-Type": "application/json"}


def purchase(**fields: object) -> dict[str, Any]:
    return {**page_view(), "eventType": "purchase", "actionName": "buy", "amount": 1.5, "currency": "EUR", **fields}


def without(event: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in event.items() if key != name}


def nested(depth: int) -> bytes:
    return b'{"eventType":"page_view","tenantId":"t","url":"u","deep":' + b"[" * depth + b"]" * depth + b"}"


def raw(extra: bytes) -> bytes:
    return b'{"eventType":"page_view","tenantId":"t","url":"u",' + extra + b"}"


BAD_EVENTS: dict[str, tuple[object, int]] = {
    "an empty body": (b"", 400),
    "broken JSON": (b'{"eventType": "page_view"', 400),
    "JSON with a tail": (b"{} {}", 400),
    "JSON with a trailing comma": (b'{"a": 1,}', 400),
    "single quotes": (b"{'eventType': 'page_view'}", 400),
    "a comment": (b"/* */ {}", 400),
    "plain text": (b"hello", 400),
    "null": (b"null", 400),
    "a number": (b"17", 400),
    "a string": (b'"page_view"', 400),
    "an array": (b"[]", 400),
    "an empty object": (b"{}", 400),
    "bad UTF-8": (raw(b'"x":"\xff\xfe"'), 400),
    "UTF-16": ('{"eventType":"page_view"}'.encode("utf-16"), 400),
    "a byte order mark": (b"\xef\xbb\xbf{}", 400),
    "a zero byte": (raw(b'"x":"a\x00b"'), 400),
    "a lone surrogate": (raw(b'"x":"\\ud800"'), 400),
    "NaN": (raw(b'"x":NaN'), 400),
    "Infinity": (raw(b'"x":Infinity'), 400),
    "minus Infinity": (raw(b'"x":-Infinity'), 400),
    "a number beyond doubles": (raw(b'"x":1e999'), 400),
    "an integer beyond 2^53": (raw(b'"x":9007199254740993'), 400),
    "an integer of 400 digits": (raw(b'"x":' + b"9" * 400), 400),
    "a number with a leading zero": (raw(b'"x":012'), 400),
    "a hexadecimal number": (raw(b'"x":0x10'), 400),
    "a duplicate key": (raw(b'"url":"v"'), 400),
    "a duplicate key with one space": (raw(b'"url" :"v"'), 400),
    "a duplicate key deep inside": (raw(b'"x":{"a":1,"a":2}'), 400),
    "a duplicate key with spaces": (raw(b'"x" : 1, "x" : 2'), 400),
    "a duplicate escaped key": (raw(b'"\\u0075rl":"v"'), 400),
    "17 levels": (nested(17), 400),
    "a thousand levels": (nested(1000), 400),
    "twenty thousand levels": (nested(20_000), 400),
    "no eventType": (without(page_view(), "eventType"), 400),
    "an unknown eventType": (page_view(eventType="click"), 400),
    "an empty eventType": (page_view(eventType=""), 400),
    "a numeric eventType": (page_view(eventType=1), 400),
    "an eventType that is a list": (page_view(eventType=["page_view"]), 400),
    "an internal eventType": (page_view(eventType="check_cart_status"), 400),
    "no tenantId": (without(page_view(), "tenantId"), 400),
    "an empty tenantId": (page_view(tenantId=""), 400),
    "a null tenantId": (page_view(tenantId=None), 400),
    "a tenantId with a colon": (page_view(tenantId="a:b"), 400),
    "a tenantId with a line break": (page_view(tenantId="a\nb"), 400),
    "a tenantId of 65 characters": (page_view(tenantId="a" * 65), 400),
    "no url": (without(page_view(), "url"), 400),
    "an empty url": (page_view(url=""), 400),
    "a url of 2,049 characters": (page_view(url="u" * 2049), 400),
    "a url with a space": (page_view(url="http://a b"), 400),
    "an empty eventId": (page_view(eventId=""), 400),
    "an eventId with a slash": (page_view(eventId="a/b"), 400),
    "an eventId with a question mark": (page_view(eventId="a?b"), 400),
    "an eventId of 256 characters": (page_view(eventId="e" * 256), 400),
    "a numeric eventId": (page_view(eventId=17), 400),
    "an eventId of blanks": (page_view(eventId="  "), 400),
    "an eventId that turns the direction of text": (page_view(eventId="a\u202eb"), 400),
    "a userId that turns the direction of text": (page_view(userId="a\u2066b"), 400),
    "a url with a password": (page_view(url="https://ada:secret@shop.example/"), 400),
    "an empty userId": (page_view(userId=""), 400),
    "a userId with a control character": (page_view(userId="a\x07b"), 400),
    "a createdAt that is no time": (page_view(createdAt="yesterday"), 400),
    "a createdAt without an offset": (page_view(createdAt="2026-01-01T00:00:00"), 400),
    "a createdAt on the 30th of February": (page_view(createdAt="2026-02-30T00:00:00Z"), 400),
    "a createdAt at 25 o'clock": (page_view(createdAt="2026-02-03T25:00:00Z"), 400),
    "a createdAt as a number": (page_view(createdAt=1767225600), 400),
    "a createdAt in 1899": (page_view(createdAt="1899-12-31T00:00:00Z"), 400),
    "a createdAt in the year 9999": (page_view(createdAt="9999-12-31T23:59:59Z"), 400),
    "a createdAt that is 1969 in UTC": (page_view(createdAt="1970-01-01T00:00:00+01:00"), 400),
    "a createdAt that is 2101 in UTC": (page_view(createdAt="2100-12-31T23:59:59-01:00"), 400),
    "an eventId that is a dot": (page_view(eventId="."), 400),
    "an eventId that is two dots": (page_view(eventId=".."), 400),
    "a schemaVersion of zero": (page_view(schemaVersion=0), 400),
    "a schemaVersion that is text": (page_view(schemaVersion="1"), 400),
    "metadata that is a list": (page_view(metadata=[]), 400),
    "metadata with 65 keys": (page_view(metadata={str(key): 1 for key in range(65)}), 400),
    "a correlationId with a line break": (page_view(correlationId="a\r\nb"), 400),
    "a causationId that is a number": (page_view(causationId=1), 400),
    "no actionName": (page_view(eventType="user_action"), 400),
    "properties that are text": (page_view(eventType="user_action", actionName="a", properties="x"), 400),
    "a negative amount": (purchase(amount=-0.01), 400),
    "an amount that is text": (purchase(amount="1.50"), 400),
    "an amount beyond 10^12": (purchase(amount=1e13), 400),
    "an amount that is true": (purchase(amount=True), 400),
    "no currency": (without(purchase(), "currency"), 400),
    "a currency in lower case": (purchase(currency="eur"), 400),
    "a currency that does not exist": (purchase(currency="ZZZ"), 400),
    "a reserved name": (page_view(receivedAt="2026-01-01T00:00:00Z"), 400),
    "a spoofed partition key": (page_view(partitionKey="other:2026-01"), 400),
    "a spoofed fraud flag": (page_view(suspicious=False), 400),
    "a name that begins with an underscore": (page_view(_etag="x"), 400),
    "a string of 16,385 characters": (page_view(note="n" * 16_385), 400),
    "a key of 257 characters": (page_view(**{"k" * 257: 1}), 400),
    "513 keys": (page_view(**{f"k{number}": 1 for number in range(513)}), 400),
    "65,537 bytes": (page_view(parts=["p" * 16_000] * 5), 413),
    "10 MB": (b'{"x":"' + b"x" * 10_000_000 + b'"}', 413),
}

BAD_HEADERS: dict[str, tuple[dict[str, str], int]] = {
    "a form": ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
    "XML": ({"Content-Type": "application/xml"}, 415),
    "JSON in Latin-1": ({"Content-Type": "application/json; charset=latin1"}, 415),
    "an unknown content encoding": ({"Content-Encoding": "br"}, 415),
    "gzip that is none": ({"Content-Encoding": "gzip"}, 400),
    "a correlation id with spaces": ({"X-Correlation-Id": "a b"}, 400),
    "a correlation id with markup": ({"X-Correlation-Id": "<script>"}, 400),
    "a correlation id of 129 characters": ({"X-Correlation-Id": "c" * 129}, 400),
    "an empty correlation id": ({"X-Correlation-Id": ""}, 400),
    "gzip in gzip": ({"Content-Encoding": "gzip, gzip"}, 415),
    "an idempotency key with spaces": ({"Idempotency-Key": "a b"}, 400),
    "an idempotency key whose quotes do not end": ({"Idempotency-Key": '"a b'}, 400),
    "an empty idempotency key": ({"Idempotency-Key": ""}, 400),
    "an idempotency key of empty quotes": ({"Idempotency-Key": '""'}, 400),
    "an idempotency key of 256 characters in quotes": ({"Idempotency-Key": f'"{"k" * 256}"'}, 400),
    "an idempotency key of 256 characters": ({"Idempotency-Key": "k" * 256}, 400),
    "an idempotency key that is not ASCII": ({"Idempotency-Key": "clé"}, 400),
    "a correlation id that is not ASCII": ({"X-Correlation-Id": "clé"}, 400),
    "a CloudEvent without source": (
        {"ce-specversion": "1.0", "ce-id": "1", "ce-type": "com.cloudscale.page_view"},
        400,
    ),
    "a CloudEvent of version 0.3": (
        {"ce-specversion": "0.3", "ce-id": "1", "ce-source": "s", "ce-type": "com.cloudscale.page_view"},
        400,
    ),
    "a CloudEvent of somebody else's type": (
        {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "s", "ce-type": "org.example.page_view"},
        400,
    ),
}


def assert_problem(response: Response, status: int) -> None:
    assert response.status == status, response.body
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert problem["status"] == status
    assert problem["type"].startswith("urn:cloudscale:problem:")
    assert problem["detail"]
    assert problem["correlationId"] == response.headers["x-correlation-id"]


def test_the_tables_hold_at_least_sixty_bad_requests() -> None:
    assert len(BAD_EVENTS) + len(BAD_HEADERS) >= 60


@pytest.mark.parametrize("case", BAD_EVENTS)
def test_a_bad_event_is_a_problem(client: Client, case: str) -> None:
    body, status = BAD_EVENTS[case]

    assert_problem(client.post(body), status)


@pytest.mark.parametrize("case", BAD_HEADERS)
def test_a_bad_header_is_a_problem(client: Client, case: str) -> None:
    headers, status = BAD_HEADERS[case]

    assert_problem(client.post(page_view(), headers), status)


@pytest.mark.parametrize("case", BAD_EVENTS)
def test_a_bad_event_in_a_batch_leaves_its_neighbours_alone(client: Client, case: str) -> None:
    body, _ = BAD_EVENTS[case]
    bad = body if isinstance(body, bytes) else msgspec.json.encode(body)
    if not bad.strip() or b"\n" in bad or len(bad) > 4_000_000:
        pytest.skip("cannot be a line of a batch")
    good = [msgspec.json.encode(page_view()) for _ in range(2)]

    response = client.post_batch(b"\n".join([good[0], bad, good[1]]), {"Content-Type": "application/x-ndjson"})

    assert response.status == 207, response.body
    first, refused, last = response.json()["results"]
    assert (first["status"], last["status"]) == (202, 202)
    assert 400 <= refused["status"] < 500
    assert refused["problem"]["detail"]


ELEMENTS = (
    "null",
    "an empty object",
    "bad UTF-8",
    "a lone surrogate",
    "NaN",
    "a zero byte",
    "a number with a leading zero",
    "17 levels",
    "twenty thousand levels",
    "a duplicate key deep inside",
)


@pytest.mark.parametrize("case", ELEMENTS)
def test_a_bad_element_of_an_array_leaves_its_neighbours_alone(client: Client, case: str) -> None:
    body, _ = BAD_EVENTS[case]
    assert isinstance(body, bytes)
    good = [msgspec.json.encode(page_view()) for _ in range(2)]

    response = client.post_batch(b"[" + b",".join([good[0], body, good[1]]) + b"]")

    assert response.status == 207, response.body
    assert [result["status"] for result in response.json()["results"]] == [202, 400, 202]


def test_an_event_of_sixteen_levels_is_accepted_alone_and_in_an_array(client: Client) -> None:
    event = page_view(deep=msgspec.json.decode(b"[" * 15 + b"]" * 15))

    assert client.post(event).status == 202
    assert client.post_batch([{**event, "eventId": "sixteen-levels"}]).status == 202


@pytest.mark.parametrize("body", [b"{}", b"[]", b"null", b"[1", b'"x"'])
def test_a_batch_that_is_no_list_of_events_is_refused_as_a_whole(client: Client, body: bytes) -> None:
    assert_problem(client.post_batch(body), 400)


def test_an_event_that_is_too_large_with_its_cloudevents_headers_is_refused(client: Client) -> None:
    headers = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "s", "ce-type": "com.cloudscale.page_view"}
    extensions = {f"ce-extension{number}": "x" * 16_000 for number in range(10)}

    assert_problem(client.post({"tenantId": "t", "url": "u"}, {**headers, **extensions}), 413)


def test_a_batch_of_1001_events_is_refused_as_a_whole(client: Client) -> None:
    assert_problem(client.post_batch([page_view()] * 1001), 413)


def test_a_batch_of_more_than_five_megabytes_is_refused_as_a_whole(client: Client) -> None:
    assert_problem(client.post_batch(b"[" + b" " * (5 * 1024 * 1024) + b"]"), 413)


def test_a_bomb_of_compressed_zeros_is_refused(client: Client) -> None:
    assert_problem(client.post(gzip.compress(b"0" * 50_000_000), {"Content-Encoding": "gzip"}), 413)


def test_a_gzip_body_that_ends_too_early_is_refused(client: Client) -> None:
    body = gzip.compress(msgspec.json.encode(page_view()))

    assert_problem(client.post(body[:-12], {"Content-Encoding": "gzip"}), 400)


@pytest.mark.parametrize("cut", [slice(None, -5), slice(None, 10), slice(0, 0)])
def test_a_gzip_body_that_is_cut_anywhere_is_refused(client: Client, cut: slice) -> None:
    body = gzip.compress(msgspec.json.encode(page_view()))

    assert_problem(client.post(body[cut], {"Content-Encoding": "gzip"}), 400)


def test_a_gzip_body_of_thousands_of_members_is_refused(client: Client) -> None:
    body = gzip.compress(b"") * (MAXIMUM_GZIP_MEMBERS + 1)

    assert_problem(client.post_batch(body, {"Content-Encoding": "gzip"}), 400)


def test_members_together_are_held_to_the_size_of_a_body(client: Client) -> None:
    body = gzip.compress(b" " * 40_000) * 2

    assert_problem(client.post(body, {"Content-Encoding": "gzip"}), 413)


def test_every_wrong_field_is_named(client: Client) -> None:
    response = client.post({"eventType": "purchase", "tenantId": "", "amount": -1, "currency": "x", "userId": 5})

    pointers = {error["pointer"] for error in response.json()["errors"]}
    assert pointers == {"/tenantId", "/amount", "/currency", "/userId", "/actionName"}


def test_a_number_beyond_doubles_is_named(client: Client) -> None:
    response = client.post(msgspec.json.encode(purchase()).replace(b"1.5", b"1e999"))

    assert [error["pointer"] for error in response.json()["errors"]] == ["/amount"]


def test_an_empty_body_is_called_empty(client: Client) -> None:
    assert [error["message"] for error in client.post(b"").json()["errors"]] == ["not valid JSON: the body is empty"]


def test_an_event_that_is_no_object_is_told_what_it_is(client: Client) -> None:
    wrong = "must be an object with the event's fields, not an array"
    assert [error["message"] for error in client.post(b"[]").json()["errors"]] == [wrong]


def test_every_wrong_attribute_of_a_cloud_event_is_named(client: Client) -> None:
    headers = {"ce-specversion": "0.3", "ce-type": "page_view", "ce-source": "my shop"}

    pointers = {error["pointer"] for error in client.post({}, headers).json()["errors"]}
    assert pointers == {"ce-specversion", "ce-type", "ce-source", "ce-id"}


def test_a_header_cannot_be_injected_through_the_correlation_id(server: IngestionServer) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(
            b"POST /api/events HTTP/1.1\r\nHost: x\r\nX-Correlation-Id: a\nSet-Cookie: b=c\r\n"
            b"Content-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"
        )
        answer = connection.makefile("rb").read()

    assert answer.startswith(b"HTTP/1.1 4")
    assert b"set-cookie" not in answer.lower()


def test_what_is_malformed_as_http_gets_an_empty_400_as_the_description_says(
    client: Client, server: IngestionServer
) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(b"POST /api/events HTTP/1.1\r\nno header\r\n\r\n")
        head, _, body = connection.makefile("rb").read().partition(b"\r\n\r\n")

    assert (head[:12], body) == (b"HTTP/1.1 400", b"")
    description = client.request("GET", "/openapi.json").json()["info"]["description"]
    assert "malformed as HTTP gets an empty 400" in description


@pytest.mark.parametrize("length", [b"-1", b"ten", b"99999999999999999999"])
def test_a_wrong_content_length_is_refused(server: IngestionServer, length: bytes) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(
            b"POST /api/events HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nConnection: close\r\n"
            b"Content-Length: " + length + b"\r\n\r\n{}"
        )
        answer = connection.makefile("rb").read()

    assert answer.startswith(b"HTTP/1.1 4")


def test_a_chunked_body_beyond_the_limit_is_refused(server: IngestionServer) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(
            b"POST /api/events HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nConnection: close\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n"
        )
        connection.sendall(b"2000\r\n" + b"x" * 0x2000 + b"\r\n")
        for _ in range(8):
            connection.sendall(b"2000\r\n" + b"x" * 0x2000 + b"\r\n")
        connection.sendall(b"0\r\n\r\n")
        answer = connection.makefile("rb").read()

    assert answer.startswith(b"HTTP/1.1 413")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/events", 405),
        ("PUT", "/api/v1/events/batch", 405),
        ("GET", "/nothing", 404),
        ("POST", "/ready", 405),
    ],
)
def test_a_wrong_route_is_a_problem(client: Client, method: str, path: str, status: int) -> None:
    assert_problem(client.request(method, path), status)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=10), children, max_size=4),
    max_leaves=10,
)
FIELDS = st.sampled_from(["eventType", "tenantId", "eventId", "url", "createdAt", "metadata", "amount", "currency"])


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.dictionaries(FIELDS | st.text(max_size=12), JSON_VALUES, max_size=4))
def test_whatever_the_fields_hold_the_answer_is_an_acceptance_or_a_problem(
    client: Client, changes: dict[str, Any]
) -> None:
    try:
        body = msgspec.json.encode({**page_view(), **changes})
    except (UnicodeEncodeError, OverflowError):
        return

    response = client.post(body)

    if response.status not in (202, 409):
        assert 400 <= response.status < 500, response.body
        assert response.json()["errors"]


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.binary(max_size=200))
def test_whatever_the_bytes_are_the_answer_is_a_problem(client: Client, body: bytes) -> None:
    assert client.post(body).status == 400
