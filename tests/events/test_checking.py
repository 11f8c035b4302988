"""Events as clients send them: decoding, limits, and the built-in types' moments."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudscale.events.checking import (
    BUILT_IN,
    LARGEST_INTEGER,
    MAXIMUM_DEPTH,
    MAXIMUM_KEYS,
    MAXIMUM_NAME_CHARACTERS,
    MAXIMUM_STRING_CHARACTERS,
    RESERVED,
    Common,
    InvalidEventError,
    as_utc,
    check_limits,
    decode,
    escape,
)

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda children: st.lists(children, max_size=5) | st.dictionaries(st.text(), children, max_size=5),
    max_leaves=15,
)


def pointers(event: dict[str, Any]) -> list[str]:
    with pytest.raises(InvalidEventError) as caught:
        check_limits(event)
    return [error.pointer for error in caught.value.errors]


@given(JSON_VALUES, st.sampled_from([(",", ":"), (", ", ": "), (" , ", " : "), (",\n", "\t:\r\n")]))
def test_json_is_decoded_however_it_is_spaced(value: object, separators: tuple[str, str]) -> None:
    text = json.dumps(value, separators=separators, ensure_ascii=False)

    try:
        body = text.encode()
    except UnicodeEncodeError:
        return

    assert decode(body) == json.loads(text)


@pytest.mark.parametrize(
    "body",
    [
        b'{"a":1,"a":2}',
        b'{"a" :1,"a" :2}',
        b'{"a":1,"a" :2}',
        b'{"a":1,"a"\t:2}',
        b'{"a":1,"b":{"c":1,"c"\n:2}}',
        b'[{"a":1},{"a":1,"\\u0061":2}]',
        b'{"a":1,"a":"x\\":"}',
    ],
)
def test_a_key_that_stands_twice_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidEventError, match="stands twice"):
        decode(body)


@given(st.dictionaries(st.text(min_size=1, max_size=5), st.integers(), min_size=1, max_size=5), st.data())
def test_a_repeated_key_is_found_in_any_spacing(members: dict[str, int], data: st.DataObject) -> None:
    pairs = [*members.items(), data.draw(st.sampled_from(list(members.items())))]
    spaces = data.draw(st.lists(st.sampled_from(["", " ", "\n", "\t"]), min_size=len(pairs), max_size=len(pairs)))
    text = "{" + ",".join(f"{json.dumps(n)}{space}:{v}" for (n, v), space in zip(pairs, spaces, strict=True)) + "}"

    with pytest.raises(InvalidEventError):
        decode(text.encode())


@pytest.mark.parametrize("string", ['a":"b', '":', '"a" : 1', "{", " :"])
def test_a_string_that_looks_like_json_is_only_a_string(string: str) -> None:
    assert decode(json.dumps({"note": string}).encode()) == {"note": string}


@pytest.mark.parametrize("body", [b"", b"{", b"nul", b'{"a":1}x', b'"\xff"', b'{"a":NaN}', b"\xef\xbb\xbf{}"])
def test_what_is_not_json_in_utf_8_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidEventError, match="not valid JSON"):
        decode(body)


@pytest.mark.parametrize("depth", [MAXIMUM_DEPTH + 2, 1000, 100_000])
def test_deep_nesting_is_refused(depth: int) -> None:
    with pytest.raises(InvalidEventError, match="nested deeper"):
        decode(b"[" * depth + b"]" * depth)


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


OFFSETS = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@given(st.datetimes(min_value=datetime(1971, 1, 1), max_value=datetime(2100, 1, 1), timezones=OFFSETS))  # noqa: DTZ001
def test_a_moment_is_utc_with_microseconds(moment: datetime) -> None:
    text = as_utc(moment)

    assert len(text) == len("2026-01-01T00:00:00.000000Z")
    assert datetime.fromisoformat(text) == moment


@given(st.lists(st.datetimes(min_value=datetime(1971, 1, 1), timezones=st.just(UTC)), min_size=2, max_size=5))  # noqa: DTZ001
def test_texts_sort_like_the_moments(moments: list[datetime]) -> None:
    assert sorted(map(as_utc, moments)) == [as_utc(moment) for moment in sorted(moments)]


def test_an_offset_is_taken_out_of_a_moment() -> None:
    moment = datetime(2026, 1, 31, 23, 30, tzinfo=timezone(timedelta(hours=-1)))

    assert as_utc(moment) == "2026-02-01T00:30:00.000000Z"


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
