"""JSON as clients write it: what is decoded, what is refused with which words, and how arrays are taken apart."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudscale.events.checking import MAXIMUM_DEPTH, InvalidEventError
from cloudscale.events.json_text import MAXIMUM_BATCH_TOKENS, decode, split_array

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda children: st.lists(children, max_size=5) | st.dictionaries(st.text(), children, max_size=5),
    max_leaves=15,
)


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


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "not valid JSON: the body is empty"),
        (b" \n", "not valid JSON: the body is empty"),
        (b'{"a": 1', "not valid JSON: it ends within a value, so a bracket, a brace or a quote is missing"),
        (b'{"a": 1,}', "not valid JSON: trailing comma in object at byte 8"),
        (b"{'a': 1}", "not valid JSON: object keys must be strings at byte 1"),
        (b'{"a": "\xff"}', "not valid JSON: it has bytes that are not UTF-8"),
    ],
)
def test_what_is_no_json_is_explained(body: bytes, message: str) -> None:
    with pytest.raises(InvalidEventError) as caught:
        decode(body)

    assert [(error.pointer, error.message) for error in caught.value.errors] == [("", message)]


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        (b'{"amount": 1e999}', ["/amount"]),
        (b'{"amount": -1e999}', ["/amount"]),
        (b'{"a": [1, {"b/c": 1e400}], "d": 1e309, "e": 1e308}', ["/a/1/b~1c", "/d"]),
        (b"1e999", [""]),
        (b'{"amount": 1e999', [""]),
    ],
)
def test_a_number_beyond_doubles_is_named_by_its_pointer(body: bytes, pointers: list[str]) -> None:
    with pytest.raises(InvalidEventError, match="beyond the range") as caught:
        decode(body)

    assert [error.pointer for error in caught.value.errors] == pointers


@pytest.mark.parametrize("depth", [MAXIMUM_DEPTH + 2, 1000, 100_000])
def test_deep_nesting_is_refused(depth: int) -> None:
    with pytest.raises(InvalidEventError, match="nested deeper"):
        decode(b"[" * depth + b"]" * depth)


@pytest.mark.parametrize(
    ("body", "escape"),
    [
        (rb'{"a":"\ud83d"}', r"\ud83d"),
        (rb'{"a":"\uDE00 and more of it"}', r"\uDE00"),
        (rb'{"a":"\ude00\ud83d"}', r"\ude00"),
        (rb'{"a":"\\\ud83dx"}', r"\ud83d"),
        (rb'{"\udbff":1}', r"\udbff"),
        (rb'["\ud83d", 1]', r"\ud83d"),
    ],
)
def test_half_of_a_surrogate_pair_is_named(body: bytes, escape: str) -> None:
    with pytest.raises(InvalidEventError) as caught:
        decode(body)

    assert str(caught.value) == (
        f"event: {escape} is half of a surrogate pair: a character beyond U+FFFF is two escapes, the high one first"
    )


@pytest.mark.parametrize("body", [rb'{"a":"\ud83d\ude00", }', rb'{"a":"\\ud83d", }'])
def test_another_mistake_beside_a_whole_pair_is_not_taken_for_half_of_one(body: bytes) -> None:
    with pytest.raises(InvalidEventError, match="not valid JSON"):
        decode(body)


BAD_ELEMENTS = {
    "a lone surrogate": rb'{"a":"\ud83d"}',
    "a wrong escape": rb'{"a":"\x"}',
    "NaN": b'{"a":NaN}',
    "a leading zero": b'{"a":01}',
    "a line break in a string": b'{"a":"b\nc"}',
    "a zero byte": b'{"a":"b\x00c"}',
    "a comma too many": b'{"a":[1,],}',
    "a hundred levels": b"[" * 100 + b"]" * 100,
    "five thousand levels": b"[" * 5_000 + b"]" * 5_000,
    "brackets and quotes in a string": rb'{"a":"]\",[{","b":+1}',
}


@pytest.mark.parametrize("case", BAD_ELEMENTS)
def test_an_element_that_is_no_json_stands_alone_in_its_array(case: str) -> None:
    good, bad = b'{"a": "]},[{"}', BAD_ELEMENTS[case]

    assert split_array(b" [ %b , %b,\n%b ] \n" % (good, bad, good)) == [good, bad, good]
    with pytest.raises(InvalidEventError):
        decode(bad)


@pytest.mark.parametrize(
    "body",
    [
        b"[1, NaN",
        b"[1, NaN,]",
        b"[, NaN]",
        b"[NaN]]",
        b"[NaN] x",
        b"[NaN],[1]",
        b'[NaN]"a"[1]',
        b"x [NaN]",
        b"[{NaN]}",
        b'[NaN,"a]',
        b"[" * 5_000,
        b"[" + b"NaN," * MAXIMUM_BATCH_TOKENS + b"NaN]",
    ],
)
def test_an_array_whose_elements_cannot_be_told_apart_is_refused_as_a_whole(body: bytes) -> None:
    with pytest.raises(InvalidEventError):
        split_array(body)


@given(st.lists(JSON_VALUES, min_size=1, max_size=5), st.integers(0, 5))
def test_beside_a_broken_element_all_others_are_found(values: list[object], place: int) -> None:
    texts = [json.dumps(value).encode() for value in values]
    texts.insert(min(place, len(values)), b"NaN")

    assert split_array(b"[" + b", ".join(texts) + b"]") == texts
