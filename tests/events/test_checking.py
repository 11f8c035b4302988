"""Events as clients send them: their names and the limits that hold for every one."""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudscale.events.checking import (
    BUILT_IN,
    LARGEST_INTEGER,
    MAXIMUM_KEYS,
    MAXIMUM_NAME_CHARACTERS,
    MAXIMUM_STRING_CHARACTERS,
    RESERVED,
    Common,
    InvalidEventError,
    check_limits,
    escape,
)


def pointers(event: dict[str, Any]) -> list[str]:
    with pytest.raises(InvalidEventError) as caught:
        check_limits(event)
    return [error.pointer for error in caught.value.errors]


@pytest.mark.parametrize("name", [*RESERVED, "_etag", "_"])
def test_a_reserved_name_is_refused_with_what_to_do_instead(name: str) -> None:
    with pytest.raises(InvalidEventError, match="is reserved: ") as caught:
        check_limits({name: "x"})

    assert [error.pointer for error in caught.value.errors] == [f"/{name}"]


def test_a_reserved_name_deeper_down_is_the_clients_own() -> None:
    check_limits({"properties": {"id": 1, "_etag": 2}})


@pytest.mark.parametrize(
    ("value", "pointer"),
    [
        ("x" * (MAXIMUM_STRING_CHARACTERS + 1), "/a"),
        (["x", "x" * (MAXIMUM_STRING_CHARACTERS + 1)], "/a/1"),
        (LARGEST_INTEGER + 1, "/a"),
        (-LARGEST_INTEGER - 1, "/a"),
        ({"b/c": LARGEST_INTEGER + 1}, "/a/b~1c"),
        ({"n" * (MAXIMUM_NAME_CHARACTERS + 1): 1}, "/a"),
        (list(range(MAXIMUM_KEYS + 1)), "/a"),
        ({str(number): 1 for number in range(MAXIMUM_KEYS + 1)}, "/a"),
    ],
)
def test_a_value_beyond_a_limit_is_named_by_its_pointer(value: object, pointer: str) -> None:
    assert pointers({"a": value}) == [pointer]


@pytest.mark.parametrize(
    "value",
    [
        "x" * MAXIMUM_STRING_CHARACTERS,
        LARGEST_INTEGER,
        -LARGEST_INTEGER,
        {"n" * MAXIMUM_NAME_CHARACTERS: 1},
        list(range(MAXIMUM_KEYS)),
        1e300,
        True,
        None,
    ],
)
def test_a_value_just_within_its_limit_passes(value: object) -> None:
    check_limits({"a": value})


def test_every_value_beyond_a_limit_is_named() -> None:
    assert pointers({"id": 1, "a": 2**60, "b": ["x" * 20_000]}) == ["/id", "/a", "/b/0"]


def test_a_name_is_escaped_for_a_pointer() -> None:
    assert escape("a/b~c") == "a~1b~0c"


LINE_FIELDS = ("tenantId", "eventId", "correlationId", "causationId", "userId")
"""What is written into lines: of the ledger, of partition keys, of logs."""

event_bases = {
    "page_view": {"tenantId": "t", "eventType": "page_view", "url": "https://example.com/"},
    "user_action": {"tenantId": "t", "eventType": "user_action", "actionName": "look"},
}


def is_taken(**fields: str) -> bool:
    base = event_bases["user_action" if "actionName" in fields else "page_view"]
    try:
        msgspec.convert({**base, **fields}, BUILT_IN[base["eventType"]])
    except msgspec.ValidationError:
        return False
    return True


@pytest.mark.parametrize("event_id", [".", ".."])
def test_an_id_that_is_a_step_in_the_path_of_a_url_is_refused(event_id: str) -> None:
    assert not is_taken(eventId=event_id)
    assert is_taken(eventId=f"{event_id}.a")
    assert is_taken(eventId="...")


@pytest.mark.parametrize("field", [*LINE_FIELDS, "url", "actionName"])
@pytest.mark.parametrize("end", ["\n", "\r", "\r\n", "\x00", "\x1f", "\x7f"])
def test_a_control_character_at_the_end_is_refused_like_anywhere_else(field: str, end: str) -> None:
    assert is_taken(**{field: "abc"})
    assert not is_taken(**{field: f"abc{end}"})
    assert not is_taken(**{field: f"a{end}bc"})


@given(st.sampled_from(LINE_FIELDS), st.text(min_size=1, max_size=12))
def test_what_is_taken_fits_into_a_line_of_the_ledger(field: str, text: str) -> None:
    if is_taken(**{field: text}):
        line = f"{text}\n{text}\nacceptance"
        assert line.split("\n") == [text, text, "acceptance"]
        assert not any(ord(character) < 32 or ord(character) == 127 for character in text)


@given(st.text(max_size=8))
def test_a_tenant_that_is_taken_keeps_the_parts_of_its_partition_key_apart(text: str) -> None:
    if is_taken(tenantId=text):
        assert f"{text}:2024-05:3".split(":") == [text, "2024-05", "3"]


def test_every_pattern_of_a_model_ends_where_the_text_ends() -> None:
    schemas = msgspec.json.schema_components([*BUILT_IN.values(), Common])[1]
    patterns = set(re.findall(r'"pattern": *"((?:[^"\\\\]|\\\\.)*)"', json.dumps(schemas)))
    assert patterns
    assert all(pattern.endswith("\\\\Z") for pattern in patterns)
