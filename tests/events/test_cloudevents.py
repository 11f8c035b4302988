"""CloudEvents in both modes become the pipeline's own events."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from cloudscale.events.checking import InvalidEventError, check_limits
from cloudscale.events.cloudevents import derive_id, from_binary, from_structured, source_id

ENVELOPE: dict[str, Any] = {
    "specversion": "1.0",
    "type": "com.cloudscale.page_view",
    "id": "1",
    "source": "/shop",
    "data": {"tenantId": "acme", "url": "u"},
}
HEADERS = {"ce-specversion": "1.0", "ce-type": "com.cloudscale.page_view", "ce-id": "1", "ce-source": "/shop"}


def pointers(envelope: object) -> list[str]:
    with pytest.raises(InvalidEventError) as caught:
        from_structured(envelope)
    return [error.pointer for error in caught.value.errors]


def header_pointers(headers: list[tuple[str, str]], *, names: list[str] | None = None) -> list[str]:
    with pytest.raises(InvalidEventError) as caught:
        from_binary(headers, {}, names=names or [])
    return [error.pointer for error in caught.value.errors]


def test_an_envelope_becomes_an_event() -> None:
    assert from_structured({**ENVELOPE, "time": "2026-03-01T10:00:00Z"}) == {
        "eventType": "page_view",
        "tenantId": "acme",
        "url": "u",
        "createdAt": "2026-03-01T10:00:00Z",
        "eventId": derive_id("/shop", "1"),
        "cloudEvent": {"id": "1", "source": "/shop"},
    }


def test_both_modes_make_the_same_event() -> None:
    headers = [*HEADERS.items(), ("content-type", "application/json"), ("ce-tenantid", "acme")]

    assert from_binary(headers, {"url": "u"}) == from_structured(ENVELOPE)


def test_source_and_id_together_make_the_event_id() -> None:
    ids = {
        from_structured({**ENVELOPE, "id": event_id, "source": source})["eventId"]
        for source, event_id in [("a", "bc"), ("ab", "c"), ("a", "b")]
    }

    assert len(ids) == 3


def test_a_source_that_is_named_like_the_tenant_meets_no_idempotency_key_of_it() -> None:
    event = from_structured({**ENVELOPE, "source": "acme", "id": "k"})

    assert event["eventId"] != derive_id("acme", "k")
    assert event["eventId"] == from_structured({**ENVELOPE, "source": "acme", "id": "k"})["eventId"]


def test_the_name_at_the_source_does_not_depend_on_an_event_id() -> None:
    plain = from_structured(ENVELOPE)
    named = from_structured({**ENVELOPE, "data": {**ENVELOPE["data"], "eventId": "mine"}})

    assert source_id(plain) == source_id(named) == derive_id("/shop", "1")


@pytest.mark.parametrize("name", ["id", "source"])
@pytest.mark.parametrize("character", ["\0", "\n", "\x7f", "\x85"])
def test_control_characters_in_what_names_an_event_are_refused(name: str, character: str) -> None:
    assert pointers({**ENVELOPE, name: f"a{character}b"}) == [f"/{name}"]


def test_an_event_id_in_the_data_stands() -> None:
    assert from_structured({**ENVELOPE, "data": {**ENVELOPE["data"], "eventId": "mine"}})["eventId"] == "mine"


@pytest.mark.parametrize("name", ["tenantId", "userId", "correlationId", "causationId"])
def test_an_extension_named_like_a_common_field_is_that_field(name: str) -> None:
    event = from_structured({**ENVELOPE, "data": {"url": "u"}, name.lower(): "x"})

    assert event[name] == "x"
    assert name.lower() not in event


def test_a_schema_version_in_a_header_is_a_number() -> None:
    assert from_binary([*HEADERS.items(), ("ce-schemaversion", "3")], {})["schemaVersion"] == 3


def test_the_data_goes_before_the_attributes() -> None:
    assert from_structured({**ENVELOPE, "tenantid": "other"})["tenantId"] == "acme"


def test_an_extension_that_nobody_knows_is_kept() -> None:
    assert from_structured({**ENVELOPE, "campaign": "spring"})["campaign"] == "spring"


def test_an_extension_with_a_reserved_name_is_kept_where_it_does_no_harm() -> None:
    traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

    event = from_structured({**ENVELOPE, "traceparent": traceparent, "ttl": 5})

    check_limits(event)
    assert event["cloudEvent"]["traceparent"] == traceparent
    assert event["cloudEvent"]["ttl"] == 5


def test_percent_encoded_headers_are_decoded() -> None:
    headers = {**HEADERS, "ce-subject": "caf%C3%A9"}

    assert from_binary(headers.items(), {})["cloudEvent"]["subject"] == "café"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ('"q-1"', "q-1"),
        (r'"a \"b\" c"', 'a "b" c'),
        ('"Euro%20%E2%82%AC"', "Euro €"),
        ("Euro%20%e2%82%ac%20%F0%9F%98%80", "Euro € 😀"),
        ("a+b", "a+b"),
        ("100%", "100%"),
    ],
)
def test_a_header_is_unquoted_and_then_decoded(value: str, text: str) -> None:
    headers = {**HEADERS, "ce-specversion": '"1.0"', "ce-subject": value}

    assert from_binary(headers.items(), {})["cloudEvent"]["subject"] == text


@pytest.mark.parametrize("value", ["%FF", "%C0%A0", "%ED%A0%80", "a%0Ab", ""])
def test_a_header_that_is_no_text_is_refused(value: str) -> None:
    assert header_pointers([*HEADERS.items(), ("ce-subject", value)]) == ["ce-subject"]


@pytest.mark.parametrize("name", ["ce-", "ce-my_ext", "ce-data.x"])
def test_a_header_whose_name_is_none_of_an_attribute_is_refused(name: str) -> None:
    assert header_pointers([*HEADERS.items(), (name, "x")]) == [name]


def test_an_attribute_that_stands_in_two_headers_is_refused() -> None:
    assert header_pointers([*HEADERS.items(), ("ce-campaign", "a"), ("ce-campaign", "b")]) == ["ce-campaign"]


def test_a_header_that_is_not_ascii_is_refused_rather_than_left_out() -> None:
    names = [*HEADERS, "ce-subject", "content-type"]

    assert header_pointers([*HEADERS.items()], names=names) == ["ce-subject"]


def test_the_content_type_goes_before_a_header_that_says_the_same() -> None:
    event = from_binary([*HEADERS.items(), ("ce-datacontenttype", "text/plain")], {"url": "u"})

    assert event == from_binary(HEADERS.items(), {"url": "u"})


def test_null_is_as_good_as_no_attribute() -> None:
    nulls = dict.fromkeys(["subject", "time", "dataschema", "schemaversion", "tenantid", "campaign", "data_base64"])

    assert from_structured({**ENVELOPE, **nulls}) == from_structured(ENVELOPE)


def test_data_in_base64_is_data() -> None:
    encoded = base64.b64encode(json.dumps(ENVELOPE["data"]).encode()).decode()
    envelope = {name: value for name, value in ENVELOPE.items() if name != "data"}

    assert from_structured({**envelope, "data_base64": encoded}) == from_structured(ENVELOPE)


@pytest.mark.parametrize("encoded", ["!", 5, "e30", "eyJhIjoxLCJhIjoyfQ==", "AAAA", "é"])
def test_data_in_base64_that_is_no_json_is_refused(encoded: object) -> None:
    envelope = {name: value for name, value in ENVELOPE.items() if name != "data"}

    assert pointers({**envelope, "data_base64": encoded}) == ["/data_base64"]


@pytest.mark.parametrize("missing", ["specversion", "type", "id", "source"])
def test_a_required_attribute_that_is_missing_is_named(missing: str) -> None:
    envelope = {name: value for name, value in ENVELOPE.items() if name != missing}

    assert pointers(envelope) == [f"/{missing}"]


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"specversion": "0.3"}, "/specversion"),
        ({"type": "org.example.page_view"}, "/type"),
        ({"id": 17}, "/id"),
        ({"source": ""}, "/source"),
        ({"data": "text"}, "/data"),
        ({"data_base64": "e30="}, "/data_base64"),
        ({"subject": ""}, "/subject"),
        ({"subject": 5}, "/subject"),
        ({"source": "a b"}, "/source"),
        ({"dataschema": ""}, "/dataschema"),
        ({"dataschema": "relative"}, "/dataschema"),
        ({"datacontenttype": ""}, "/datacontenttype"),
        ({"datacontenttype": "json"}, "/datacontenttype"),
        ({"time": "lunchtime", "data": {**ENVELOPE["data"], "createdAt": "2026-01-01T00:00:00Z"}}, "/time"),
        ({"time": "2018-04-05T18:31Z"}, "/time"),
        ({"campaign": 1.5}, "/campaign"),
        ({"campaign": 2**31}, "/campaign"),
        ({"campaign": {"a": 1}}, "/campaign"),
        ({"campaign": "a\nb"}, "/campaign"),
        ({"myExt": "x"}, "/myExt"),
        ({"my_ext": "x"}, "/my_ext"),
    ],
)
def test_an_attribute_that_is_wrong_is_named(changes: dict[str, object], pointer: str) -> None:
    assert pointers({**ENVELOPE, **changes}) == [pointer]


def test_an_envelope_that_is_no_object_is_refused() -> None:
    assert pointers([ENVELOPE]) == [""]


def test_a_header_that_is_missing_is_named_as_the_client_writes_it() -> None:
    with pytest.raises(InvalidEventError) as caught:
        from_binary([("ce-specversion", "1.0")], {})

    assert [error.pointer for error in caught.value.errors] == ["ce-type", "ce-id", "ce-source"]


def test_every_wrong_attribute_of_an_envelope_is_named_at_once() -> None:
    envelope = {"specversion": "0.3", "type": "page_view", "source": "my shop", "time": "noon", "my_ext": 1}

    wrong = {"/data_base64", "/id", "/my_ext", "/source", "/specversion", "/time", "/type"}
    assert set(pointers({**envelope, "data": {}, "data_base64": "e30="})) == wrong


def test_every_wrong_header_is_named_at_once() -> None:
    headers = [("ce-specversion", "0.3"), ("ce-type", "page_view"), ("ce-source", "my shop"), ("ce-subject", "%FF")]

    wrong = {"ce-campaign", "ce-id", "ce-my_ext", "ce-source", "ce-specversion", "ce-subject", "ce-type"}
    assert set(header_pointers([*headers, ("ce-my_ext", "x")], names=["ce-campaign"])) == wrong


def test_a_header_that_is_wrong_is_not_called_missing_as_well() -> None:
    headers = [("ce-specversion", "1.0"), ("ce-type", "com.cloudscale.page_view"), ("ce-source", "s")]

    assert header_pointers([*headers, ("ce-id", "%FF")]) == ["ce-id"]


@pytest.mark.parametrize("name", ["id", "source"])
def test_what_names_an_event_does_not_turn_the_direction_of_text(name: str) -> None:
    assert pointers({**ENVELOPE, name: "a\u202eb"}) == [f"/{name}"]


def test_data_that_is_no_object_is_the_body_in_binary_mode() -> None:
    with pytest.raises(InvalidEventError, match="must be an object with the event's fields, not an array") as caught:
        from_binary(HEADERS.items(), [])

    assert [error.pointer for error in caught.value.errors] == [""]


def test_a_type_without_the_prefix_is_told_it() -> None:
    with pytest.raises(InvalidEventError, match=r"must begin with com\.cloudscale\., like com\.cloudscale\.page_view"):
        from_structured({**ENVELOPE, "type": "page_view"})
