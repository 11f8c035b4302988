"""What the types of a pipeline take and refuse."""

from __future__ import annotations

from typing import Any

import pytest

from cloudscale.errors import ConfigurationError
from cloudscale.events.checking import InvalidEventError
from cloudscale.events.timestamps import as_utc
from cloudscale.events.types import EventTypes
from cloudscale.pipeline import EventType

PAGE_VIEW = {"eventType": "page_view", "tenantId": "acme", "url": "https://x.example/"}
PURCHASE = {"eventType": "purchase", "tenantId": "acme", "actionName": "buy", "amount": 0, "currency": "EUR"}
ORDER_SHIPPED = EventType(
    name="order_shipped",
    schema={
        "type": "object",
        "required": ["orderId", "parcels"],
        "properties": {
            "orderId": {"type": "string", "pattern": "^[0-9]+$"},
            "parcels": {"type": "array", "items": {"type": "object", "required": ["weight"]}},
        },
    },
)
SHIPPED = {"eventType": "order_shipped", "tenantId": "acme", "orderId": "17", "parcels": [{"weight": 2}]}


def pointers(event: dict[str, Any], types: EventTypes | None = None) -> list[str]:
    with pytest.raises(InvalidEventError) as caught:
        (types or EventTypes()).check(event)
    return [error.pointer for error in caught.value.errors]


@pytest.mark.parametrize("event", [PAGE_VIEW, PURCHASE, {**PAGE_VIEW, "eventType": "user_action", "actionName": "a"}])
def test_a_good_event_of_a_built_in_type_passes(event: dict[str, Any]) -> None:
    assert EventTypes().check(event).tenant_id == "acme"


def test_unknown_fields_pass() -> None:
    EventTypes().check({**PAGE_VIEW, "anything": {"at": ["all"]}})


def test_every_wrong_field_is_named() -> None:
    event = {**PURCHASE, "amount": -1, "currency": "XXX", "tenantId": "", "createdAt": "today", "userId": 5}

    assert sorted(pointers(event)) == ["/amount", "/createdAt", "/currency", "/tenantId", "/userId"]


def test_an_error_inside_a_field_has_a_deep_pointer() -> None:
    assert pointers({**PAGE_VIEW, "metadata": {"k" * 129: 1}})[0].startswith("/metadata")


@pytest.mark.parametrize(
    ("event_type", "message"),
    [
        (None, "is required: one of page_view, user_action, purchase"),
        (5, "must be text, not a number: one of page_view, user_action, purchase"),
        ("click", "is unknown: use one of page_view, user_action, purchase"),
        ("check_cart_status", "is internal"),
    ],
)
def test_an_event_type_that_is_none_of_the_pipelines_is_explained(event_type: object, message: str) -> None:
    with pytest.raises(InvalidEventError) as caught:
        EventTypes().check({**PAGE_VIEW, "eventType": event_type})

    assert message in caught.value.errors[0].message


def test_a_wrong_type_does_not_hide_the_other_errors() -> None:
    assert pointers({"eventType": "click"}) == ["/eventType", "/tenantId"]


@pytest.mark.parametrize("year", ["1969", "2101"])
def test_a_device_with_a_lost_clock_is_refused(year: str) -> None:
    assert pointers({**PAGE_VIEW, "createdAt": f"{year}-06-01T00:00:00Z"}) == ["/createdAt"]


@pytest.mark.parametrize(
    "text", ["1970-01-01T00:00:00+01:00", "2100-12-31T23:59:59-01:00", "0001-01-01T00:00:00+01:00"]
)
def test_a_moment_that_leaves_the_range_in_utc_is_refused(text: str) -> None:
    """The worker checks again what is stored, which is UTC: it would put aside what ingestion has accepted."""
    assert pointers({**PAGE_VIEW, "createdAt": text}) == ["/createdAt"]


@pytest.mark.parametrize("text", ["1969-12-31T23:00:00-02:00", "2101-01-01T00:30:00+01:00", "2016-12-31T23:59:60Z"])
def test_a_moment_within_the_range_in_utc_is_taken_and_taken_again_as_it_is_stored(text: str) -> None:
    created_at = EventTypes().check({**PAGE_VIEW, "createdAt": text}).created_at
    assert created_at is not None

    stored = {**PAGE_VIEW, "createdAt": as_utc(created_at)}

    assert EventTypes().problem_of(stored) is None


def test_a_type_that_the_resource_adds_is_taken() -> None:
    types = EventTypes([ORDER_SHIPPED])

    assert types.check(SHIPPED).event_type == "order_shipped"
    assert types.names[-1] == "order_shipped"


def test_an_event_of_an_added_type_is_checked_against_its_schema() -> None:
    event = {**SHIPPED, "orderId": "x", "parcels": [{"weight": 1}, {}]}

    assert sorted(pointers(event, EventTypes([ORDER_SHIPPED]))) == ["/orderId", "/parcels/1"]


def test_an_event_of_an_added_type_needs_the_common_fields_too() -> None:
    assert pointers({**SHIPPED, "tenantId": None}, EventTypes([ORDER_SHIPPED])) == ["/tenantId"]


def test_an_added_type_is_unknown_to_other_pipelines() -> None:
    assert pointers(SHIPPED) == ["/eventType"]


def test_a_schema_that_is_none_is_a_configuration_error() -> None:
    with pytest.raises(ConfigurationError, match="order_shipped"):
        EventTypes([EventType(name="order_shipped", schema={"type": "no such type"})])


def test_an_event_from_the_queue_that_is_good_has_no_problem() -> None:
    assert EventTypes().problem_of(PAGE_VIEW) is None


def test_an_event_from_the_queue_that_is_wrong_is_described() -> None:
    assert "/url: is required" in (EventTypes().problem_of({"eventType": "page_view", "tenantId": "a"}) or "")


def test_an_event_from_the_queue_of_an_unknown_type_is_told_apart() -> None:
    with pytest.raises(KeyError, match="click"):
        EventTypes().problem_of({"eventType": "click"})


def test_what_is_beyond_a_limit_does_not_hide_the_other_errors() -> None:
    with pytest.raises(InvalidEventError) as caught:
        EventTypes().check_sent({**PURCHASE, "_etag": "x", "amount": 2**60, "currency": "usd"})

    assert [error.pointer for error in caught.value.errors] == ["/_etag", "/amount", "/currency"]


def test_a_schema_is_not_asked_of_an_event_beyond_the_limits() -> None:
    with pytest.raises(InvalidEventError) as caught:
        EventTypes([ORDER_SHIPPED]).check_sent({**SHIPPED, "orderId": "x", "id": 1})

    assert [error.pointer for error in caught.value.errors] == ["/id"]


def test_what_a_client_may_not_send_is_named_beside_what_is_wrong() -> None:
    with pytest.raises(InvalidEventError) as caught:
        EventTypes().check_sent({**PAGE_VIEW, "url": "https://ada:secret@x.example/", "tenantId": 5})

    assert [error.pointer for error in caught.value.errors] == ["/tenantId", "/url"]


@pytest.mark.parametrize("fields", [{"eventId": " "}, {"url": "https://ada:secret@x.example/"}])
def test_what_was_accepted_before_such_events_were_refused_is_taken_from_the_queue(fields: dict[str, str]) -> None:
    assert EventTypes().problem_of({**PAGE_VIEW, **fields}) is None


def test_the_common_fields_and_those_of_the_schema_are_named_at_once() -> None:
    assert pointers({**SHIPPED, "tenantId": None, "orderId": "x"}, EventTypes([ORDER_SHIPPED])) == [
        "/tenantId",
        "/orderId",
    ]


def test_a_leap_second_is_right_beside_what_is_wrong() -> None:
    with pytest.raises(InvalidEventError) as caught:
        EventTypes().check_sent({**PAGE_VIEW, "createdAt": "2016-12-31T23:59:60Z", "id": "x"})

    assert [error.pointer for error in caught.value.errors] == ["/id"]
