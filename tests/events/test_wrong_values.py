"""What clients are told of wrong values: in the words of JSON, with what is right."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudscale.events.checking import BUILT_IN, InvalidEventError
from cloudscale.events.types import EventTypes
from cloudscale.pipeline import EventType

PURCHASE = {"eventType": "purchase", "tenantId": "acme", "actionName": "buy", "amount": 1, "currency": "EUR"}
PAGE_VIEW = {"eventType": "page_view", "tenantId": "acme", "url": "https://x.example/"}

EVENT_ID = r"must not contain / \ ? # or control characters, and must not be . or .."
TENANT_ID = "must have only the letters A to Z and a to z, digits, and . _ @ - (not at the beginning)"
CORRELATION_ID = "must have only the letters A to Z and a to z, digits, and . _ : @ / + = -"
NO_CONTROLS = "must not contain control characters"
CURRENCY = "must be the code of an active currency in capital letters (ISO 4217), like EUR or USD"
MOMENT = "must be a date and time with its offset from UTC, like 2026-01-31T12:00:00Z (RFC 3339)"
AMOUNT = "must be between 0 and 1,000,000,000,000"
VERSION = "must be between 1 and 1,000,000"

WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"eventId": "a/b"}, "/eventId", EVENT_ID),
    ({"eventId": ".."}, "/eventId", EVENT_ID),
    ({"eventId": ""}, "/eventId", "must not be empty"),
    ({"eventId": "e" * 256}, "/eventId", "has 256 characters: at most 255 are allowed"),
    ({"eventId": 17}, "/eventId", "must be text or null, not a number"),
    ({"tenantId": "a b"}, "/tenantId", TENANT_ID),
    ({"tenantId": None}, "/tenantId", "must be text, not null"),
    ({"userId": {}}, "/userId", "must be text or null, not an object"),
    ({"userId": []}, "/userId", "must be text or null, not an array"),
    ({"userId": "a\x07"}, "/userId", NO_CONTROLS),
    ({"correlationId": "a b"}, "/correlationId", CORRELATION_ID),
    ({"causationId": True}, "/causationId", "must be text or null, not true"),
    ({"actionName": "a\n"}, "/actionName", NO_CONTROLS),
    ({"currency": "usd"}, "/currency", f"{CURRENCY}: send USD"),
    ({"currency": "ZZZ"}, "/currency", CURRENCY),
    ({"currency": 978}, "/currency", "must be text, not a number"),
    ({"amount": "1.50"}, "/amount", "must be a number, not text"),
    ({"amount": False}, "/amount", "must be a number, not false"),
    ({"amount": -1}, "/amount", AMOUNT),
    ({"amount": 1e13}, "/amount", AMOUNT),
    ({"createdAt": "yesterday"}, "/createdAt", MOMENT),
    ({"createdAt": "2026-01-01T00:00:00"}, "/createdAt", MOMENT),
    ({"createdAt": 1767225600}, "/createdAt", "must be text or null, not a number"),
    ({"schemaVersion": 0}, "/schemaVersion", VERSION),
    ({"schemaVersion": 1.5}, "/schemaVersion", "must be a whole number, not 1.5"),
    ({"schemaVersion": "1"}, "/schemaVersion", "must be a whole number, not text"),
    ({"metadata": []}, "/metadata", "must be an object, not an array"),
    ({"metadata": None}, "/metadata", "must be an object, not null"),
    ({"metadata": dict.fromkeys(map(str, range(65)))}, "/metadata", "has 65 entries: at most 64 are allowed"),
    ({"metadata": {"k" * 300: 1}}, "/metadata", "has a key of 300 characters: at most 128 are allowed"),
    ({"properties": "x"}, "/properties", "must be an object, not text"),
]


def errors_of(event: dict[str, Any], *added: EventType) -> list[tuple[str, str]]:
    with pytest.raises(InvalidEventError) as caught:
        EventTypes(added).check(event)
    return [(error.pointer, error.message) for error in caught.value.errors]


@pytest.mark.parametrize(("changes", "pointer", "message"), WRONG, ids=[f"{c[1]}: {c[2]}"[:60] for c in WRONG])
def test_a_wrong_value_is_explained(changes: dict[str, Any], pointer: str, message: str) -> None:
    assert errors_of({**PURCHASE, **changes}) == [(pointer, message)]


def test_a_url_with_a_space_is_explained() -> None:
    wrong = "must not contain spaces or control characters: percent-encode them"
    assert errors_of({**PAGE_VIEW, "url": "a b"}) == [("/url", wrong)]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(), children, max_size=3),
    max_leaves=5,
)
FIELDS = sorted({field.encode_name for model in BUILT_IN.values() for field in msgspec.structs.fields(model)})
OF_A_VALIDATOR = re.compile(r"[Ee]xpected `|regex|enum|\\x|\\Z|\$|`| \| ")


@given(st.sampled_from([PURCHASE, PAGE_VIEW]), st.dictionaries(st.sampled_from(FIELDS), JSON, min_size=1))
def test_whatever_a_field_has_no_message_is_a_validators(base: dict[str, Any], changes: dict[str, Any]) -> None:
    changes.pop("eventType", None)
    try:
        EventTypes().check({**base, **changes})
    except InvalidEventError as error:
        for each in error.errors:
            assert not OF_A_VALIDATOR.search(each.message), each
            assert each.pointer.split("/")[1] in changes, each
            assert "value that is wrong" not in each.message, each


SCHEMA = {
    "required": ["list"],
    "properties": {
        "list": {"type": ["string", "null"], "minLength": 2, "maxLength": 4, "pattern": "^[a-z]+$"},
        "kind": {"enum": ["a", "b"]},
        "count": {"type": "integer", "minimum": 1, "maximum": 5, "multipleOf": 2},
        "parts": {"type": "array", "minItems": 1, "uniqueItems": True},
        "one": {"const": 1},
        "closed": {"properties": {"y": {}}, "additionalProperties": False},
        "either": {"oneOf": [{"type": "string"}, {"type": "null"}]},
        "never": False,
    },
}
ADDED = EventType(name="signup", schema=SCHEMA)
SIGNUP = {"eventType": "signup", "tenantId": "acme", "list": "abc"}


@pytest.mark.parametrize(
    ("changes", "pointer", "message"),
    [
        ({"list": 5}, "/list", "must be null or text, not a number"),
        ({"list": "a"}, "/list", "must have at least 2 characters"),
        ({"list": "abcde"}, "/list", "must have at most 4 characters"),
        ({"list": "AB"}, "/list", "must match the pattern ^[a-z]+$ of the schema"),
        ({"kind": "c"}, "/kind", 'must be one of "a", "b"'),
        ({"count": 1.5}, "/count", "must be a whole number, not 1.5"),
        ({"count": 6}, "/count", "must be at most 5"),
        ({"count": 0}, "/count", "must be at least 1"),
        ({"count": 3}, "/count", "must be a multiple of 2"),
        ({"parts": []}, "/parts", "must have at least 1 items"),
        ({"parts": [1, 1]}, "/parts", "must not have the same item twice"),
        ({"one": 2}, "/one", "must be 1"),
        ({"closed": {"x": 1}}, "/closed", 'must not have "x"'),
        ({"either": 5}, "/either", "must have exactly one of the forms that the schema allows"),
        ({"never": 5}, "/never", "has what the schema does not allow here"),
    ],
)
def test_what_a_schema_refuses_is_explained(changes: dict[str, Any], pointer: str, message: str) -> None:
    assert (pointer, message) in errors_of({**SIGNUP, **changes}, ADDED)


def test_each_member_that_a_schema_requires_is_named() -> None:
    schema = {"required": ["one", "two"]}
    event = {"eventType": "signup", "tenantId": "acme"}

    assert errors_of(event, EventType(name="signup", schema=schema)) == [
        ("", 'must have "one", which is required'),
        ("", 'must have "two", which is required'),
    ]
