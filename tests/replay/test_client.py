from __future__ import annotations

import time
from typing import Any

import pytest
from tests.replay.api import Answer, results, serving

from cloudscale.errors import BackendUnavailableError, ConfigurationError
from cloudscale.local.ports import find_free_ports
from cloudscale.replay.client import EventClient

EVENTS = [b'{"eventId":"a"}', b'{"eventId":"b"}', b'{"eventId":"c"}']


async def test_only_what_was_not_taken_is_sent_again() -> None:
    def answer(number: int, events: list[dict[str, Any]]) -> Answer:
        return (207, {}, results(202, 503, 409)) if number == 1 else (202, {}, results(202))

    async with serving(answer) as api, EventClient(api.url, connections=1) as sender:
        found = await sender.send_batch(EVENTS)

    assert [result.status for result in found] == [202, 202, 409]
    assert [[event["eventId"] for event in events] for events in api.requests] == [["a", "b", "c"], ["b"]]


async def test_a_limited_client_waits_as_long_as_it_is_told() -> None:
    def answer(number: int, events: list[dict[str, Any]]) -> Answer:
        return (429, {"Retry-After": "1"}, {"detail": "slower"}) if number == 1 else (202, {}, results(202, 202, 202))

    async with serving(answer) as api, EventClient(api.url, connections=1) as sender:
        began = time.monotonic()
        found = await sender.send_batch(EVENTS)

    assert time.monotonic() - began >= 1
    assert all(result.is_accepted for result in found)


async def test_an_api_that_asks_for_no_wait_is_not_asked_without_end() -> None:
    def answer(number: int, events: list[dict[str, Any]]) -> Answer:
        return (503, {"Retry-After": "0"}, {}) if number == 1 else (202, {}, {"id": "a", "correlationId": "c"})

    async with serving(answer) as api, EventClient(api.url, connections=1) as sender:
        began = time.monotonic()
        await sender.send(EVENTS[0])

    assert time.monotonic() - began >= 0.2


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
async def test_an_api_in_trouble_is_asked_again(status: int) -> None:
    def answer(number: int, events: list[dict[str, Any]]) -> Answer:
        return (status, {}, {"detail": "busy"}) if number < 3 else (202, {}, {"id": "a", "correlationId": "c"})

    async with serving(answer) as api, EventClient(api.url, connections=1) as sender:
        result = await sender.send(EVENTS[0])

    assert (result.status, result.id, len(api.requests)) == (202, "a", 3)


async def test_a_request_that_is_refused_as_a_whole_refuses_each_of_its_events() -> None:
    async with (
        serving(lambda *_: (413, {}, {"detail": "too large"})) as api,
        EventClient(api.url, connections=1) as sender,
    ):
        found = await sender.send_batch(EVENTS)

    assert [(result.status, result.problem) for result in found] == [(413, {"detail": "too large"})] * 3


async def test_a_refusal_that_is_no_json_is_passed_on() -> None:
    async with serving(lambda *_: (400, {}, "nonsense")) as api, EventClient(api.url, connections=1) as sender:
        result = await sender.send(EVENTS[0])

    assert result.problem == {"status": 400, "detail": '"nonsense"'}


async def test_a_copy_that_the_api_skips_is_a_duplicate() -> None:
    body = {"id": "a", "correlationId": "c", "duplicate": True}
    async with serving(lambda *_: (200, {}, body)) as api, EventClient(api.url, connections=1) as sender:
        result = await sender.send(EVENTS[0])

    assert result.is_duplicate
    assert not result.is_accepted


@pytest.mark.parametrize("url", ["localhost:8080", "ftp://localhost", "http://", "http://localhost:99999", "nowhere"])
async def test_what_is_no_address_is_refused_at_once(url: str) -> None:
    async with EventClient(url, connections=1) as sender:
        with pytest.raises(ConfigurationError, match=f"'{url.rstrip('/')}' is no address .* http://HOST:PORT"):
            await sender.send_batch(EVENTS)


@pytest.mark.parametrize("body", ["welcome", {"results": []}])
async def test_an_answer_that_no_ingestion_api_gives_names_the_address(body: object) -> None:
    async with serving(lambda *_: (200, {}, body)) as api, EventClient(api.url, connections=1) as sender:
        for send in (sender.send_batch(EVENTS), sender.send(EVENTS[0])):
            with pytest.raises(ConfigurationError, match=f"{api.url} answers 200, but not as an ingestion API"):
                await send


async def test_a_wait_is_told_once_in_a_while() -> None:
    told: list[str] = []

    def answer(number: int, events: list[dict[str, Any]]) -> Answer:
        return (503, {}, {"detail": "busy"}) if number < 3 else (202, {}, {"id": "a", "correlationId": "c"})

    async with (
        serving(answer) as api,
        EventClient(api.url, connections=1, notify=told.append, silent_seconds=0) as sender,
    ):
        await sender.send(EVENTS[0])

    assert told == [f"{api.url} answers 503: busy; trying again, for 300 s at the most"]


async def test_nothing_is_sent_for_nothing() -> None:
    async with EventClient("http://127.0.0.1:9", connections=1) as sender:
        assert await sender.send_batch([]) == []


async def test_an_api_that_goes_away_and_stays_away_is_given_up() -> None:
    async with serving(lambda *_: (202, {}, results(202, 202, 202))) as api:
        sender = EventClient(api.url, connections=1, patience_seconds=0.3)
        await sender.send_batch(EVENTS)
    async with sender:
        with pytest.raises(BackendUnavailableError, match=r"given up after .* cannot be reached: connection refused"):
            await sender.send_batch(EVENTS)


async def test_an_address_where_nothing_ever_listened_is_given_up_at_once() -> None:
    (port,) = find_free_ports("127.0.0.1", 1)

    async with EventClient(f"http://127.0.0.1:{port}", connections=1) as sender:
        with pytest.raises(BackendUnavailableError, match=r"connection refused\. Is the pipeline running"):
            await sender.send_batch(EVENTS)


async def test_a_host_that_nobody_knows_is_given_up_at_once() -> None:
    async with EventClient("http://nobody.invalid:8080", connections=1) as sender:
        with pytest.raises(BackendUnavailableError, match=r"no address of the host 'nobody\.invalid' is known"):
            await sender.send_batch(EVENTS)


@pytest.mark.parametrize("status", [302, 401, 403, 404, 405, 501])
async def test_an_answer_that_all_events_would_get_ends_it_at_once(status: int) -> None:
    async with (
        serving(lambda *_: (status, {"location": "/elsewhere"}, {})) as api,
        EventClient(api.url, connections=1) as sender,
    ):
        for send in (sender.send_batch(EVENTS), sender.send(EVENTS[0])):
            with pytest.raises(ConfigurationError, match=f"answers {status}, as no ingestion API does"):
                await send
    assert len(api.requests) == 2


@pytest.mark.parametrize("status", [401, 403])
async def test_an_api_that_wants_another_key_is_told_of_at_once(status: int) -> None:
    problem = {"detail": "this key is not valid"}

    async with (
        serving(lambda *_: (status, {"content-type": "application/problem+json"}, problem)) as api,
        EventClient(api.url, connections=1, key="cs_wrong") as sender,
    ):
        with pytest.raises(ConfigurationError, match=f"answers {status}: this key is not valid. Set CLOUDSCALE_KEY"):
            await sender.send_batch(EVENTS)
    assert len(api.requests) == 1


async def test_a_key_goes_with_each_request() -> None:
    async with (
        serving(lambda *_: (202, {}, results(202, 202, 202))) as api,
        EventClient(api.url, connections=1, key="cs_abc_def\n") as sender,
    ):
        await sender.send_batch(EVENTS)
        await sender.send_batch(EVENTS)
    assert api.authorizations == ["Bearer cs_abc_def"] * 2


async def test_no_key_goes_with_requests_that_need_none() -> None:
    async with (
        serving(lambda *_: (202, {}, results(202, 202, 202))) as api,
        EventClient(api.url, connections=1) as sender,
    ):
        await sender.send_batch(EVENTS)
    assert api.authorizations == [None]


@pytest.mark.parametrize("key", ["", "two words", "a\nHost: b", "schlüssel"])
async def test_what_is_no_key_is_refused_without_being_repeated(key: str) -> None:
    with pytest.raises(ConfigurationError, match="is no key and no token") as caught:
        EventClient("http://127.0.0.1:9", connections=1, key=key)
    assert not key or key not in str(caught.value)
