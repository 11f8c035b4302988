"""The built-in functions, by the examples of their reference pages and at their edges."""

from __future__ import annotations

import math
import time
from typing import Any

import pytest
from tests.emulators.cosmos.query.evaluation import evaluate_text, same
from tests.emulators.cosmos.reference import UNDEFINED

from cloudscale.emulators.cosmos.errors import CosmosError

DOCUMENT: dict[str, Any] = {"text": "Hello World", "numbers": [1, 2, 3, 4], "n": 5}
FOREVER_SECONDS = 2.0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("DateTimeAdd('yyyy', 1, '2020-07-03T00:00:00.0000000')", "2021-07-03T00:00:00.0000000Z"),
        ("DateTimeAdd('mm', 1, '2020-01-31T00:00:00.0000000Z')", "2020-02-29T00:00:00.0000000Z"),
        ("DateTimeAdd('hh', -1, '2020-07-03T00:00:00.0000000Z')", "2020-07-02T23:00:00.0000000Z"),
        ("DateTimeAdd('yyyy', 9000, '2020-07-03T00:00:00.0000000Z')", UNDEFINED),
        ("DateTimeDiff('yyyy', '2019-02-04T16:00:00.0000000Z', '2018-03-05T05:00:00.0000000Z')", -1),
        ("DateTimeDiff('ss', '2018-02-04T16:00:00.0000000Z', '2018-02-04T16:00:05.0000000Z')", 5),
        ("DateTimePart('ms', '2020-01-02T03:04:05.6789123Z')", 678),
        ("DateTimePart('ns', '2020-01-02T03:04:05.6789123Z')", 678912300),
        ("DateTimePart('hh', '2020-01-02T03:04:05.6789123Z')", 3),
        ("DateTimePart('dd', 'yesterday')", UNDEFINED),
        ("DateTimeToTimestamp('2020-07-09T23:20:13.4575530Z')", 1594336813457),
        ("DateTimeToTicks('2020-07-09T23:20:13.4575530Z')", 15943368134575530),
        ("DateTimeFromParts(2020, 9, 4)", "2020-09-04T00:00:00.0000000Z"),
        ("DateTimeFromParts(2020, 13, 4)", UNDEFINED),
        ("DateTimeBin('2021-06-28T17:24:29.2991234Z', 'hh')", "2021-06-28T17:00:00.0000000Z"),
        ("TimestampToDateTime(1594227912345)", "2020-07-08T17:05:12.3450000Z"),
        ("TicksToDateTime(15943368134575530)", "2020-07-09T23:20:13.4575530Z"),
        ("IS_DATETIME('2020-07-09T23:20:13.4575530Z')", True),
        ("IS_DATETIME('2020-02-30')", False),
        ("RegexMatch('abcd', 'ABC', 'i')", True),
        ("RegexMatch('abcd', 'ab. d', 'x')", True),
        ("RegexMatch('abcd', '^z')", False),
        ("RegexMatch(c.n, 'a')", UNDEFINED),
        ("IS_INTEGER(5)", True),
        ("IS_INTEGER(5.5)", False),
        ("IS_FINITE_NUMBER(5)", True),
        ("ARRAY_CONCAT(['apples'], ['strawberries'], [1])", ["apples", "strawberries", 1]),
        ("ARRAY_SLICE(c.numbers, 1)", [2, 3, 4]),
        ("ARRAY_SLICE(c.numbers, 1, 2)", [2, 3]),
        ("ARRAY_SLICE(c.numbers, -2, 1)", [3]),
        ("ARRAY_CONTAINS_ANY(c.numbers, 4, 9)", True),
        ("ARRAY_CONTAINS_ALL(c.numbers, 1, 9)", False),
        ("ARRAY_CONTAINS([{'a': {'b': 1, 'c': 2}}], {'a': {'b': 1}}, true)", True),
        ("ARRAY_CONTAINS([{'a': [1]}], {'a': [1]}, true)", True),
        ("ARRAY_CONTAINS([{'a': 1}], {'a': c.none}, true)", True),
        ("ARRAY_CONTAINS([{'a': c.n}], {'a': c.n}, true)", True),
        ("ARRAY_CONTAINS([{'a': 1}], {'a': 2}, true)", False),
        ("SetIntersect([1, 2, 3, 2], [2, 3])", [2, 3]),
        ("SetUnion([1, 2], [2, 3])", [1, 2, 3]),
        ("SetDifference([1, 2], [2])", [1]),
        ("SetEqual([1, 2], [2, 1.0, 1])", True),
        ("CHOOSE(1, 'a', 'b')", "a"),
        ("CHOOSE(3, 'a', 'b')", UNDEFINED),
        ("OBJECTTOARRAY({'a': 1})", [{"k": "a", "v": 1}]),
        ("StringToNumber('1.5')", 1.5),
        ("StringToNumber('-1.6E2')", -160),
        ("StringToNumber('1e400')", UNDEFINED),
        ("StringToNumber('abc')", UNDEFINED),
        ("StringToBoolean('true')", True),
        ("StringToArray('[1, 2]')", [1, 2]),
        ("StringToObject('[1, 2]')", UNDEFINED),
        ("StringToNull('null')", None),
        ("StringJoin(['a', 'b'], '-')", "a-b"),
        ("StringSplit('a,b,c', ',')", ["a", "b", "c"]),
        ("INDEX_OF('abcabc', 'b', 2)", 4),
        ("TRIM('\t abc \n')", "abc"),
        ("LTRIM('abcabc', 'ab')", "cabc"),
        ("REPLICATE('a', 3)", "aaa"),
        ("REPLICATE('a', 10001)", UNDEFINED),
        ("LENGTH('😀')", 2),
        ("LEFT('😀a', 2) || RIGHT('a😀', 2)", "😀😀"),
        ("LOG(8, 2)", 3),
        ("LOG(c.n)", math.log(5)),
        ("LOG(0)", UNDEFINED),
        ("PI()", math.pi),
        ("ATN2(1, 2)", math.atan2(1, 2)),
        ("SQRT(-1)", UNDEFINED),
        ("ROUND(2.5)", 3),
        ("ROUND(-2.5)", -3),
        ("ROUND(2.345, 2)", 2.35),
        ("TRUNC(-2.7)", -2),
        ("FLOOR(1e300)", 1e300),
        ("CEILING(-1e300)", -1e300),
        ("POWER(10, 400)", UNDEFINED),
        ("NumberBin(37.752, 10)", 30),
        ("IntDiv(-7, 2)", -3),
        ("IntBitLeftShift(1, 3)", 8),
        ("6 & 3", 2),
        ("6 | 3 ^ 1", 6 | 3 ^ 1),
        ("~6", -7),
        ("1 << 3", 8),
        ("-8 >> 1", -4),
        ("-8 >>> 28", 15),
        ("ToString(0)", "0"),
        ("ToString(1.0000)", "1"),
        ("ToString(0.1 + 0.2)", "0.30000000000000004"),
        ("ToString([1, 'a'])", '[1,"a"]'),
        ("ToString(null)", "null"),
        ("IIF('x', 1, 2)", 2),
    ],
)
def test_a_function_gives_what_its_reference_says(text: str, expected: Any) -> None:
    assert same(evaluate_text(text, DOCUMENT), expected)


def test_the_static_time_is_the_same_in_one_query() -> None:
    assert evaluate_text("GetCurrentTicksStatic() = GetCurrentTicksStatic()") is True
    assert abs(evaluate_text("GetCurrentTimestamp()") / 1000 - time.time()) < 5
    assert len(evaluate_text("GetCurrentDateTime()")) == 28


@pytest.mark.parametrize(
    "text",
    ["ST_DISTANCE(c.a, c.b)", "VectorDistance(c.a, [1])", "FullTextContains(c.a, 'b')", "ARRAY_MAX(c.a)", "Now()"],
)
def test_what_the_emulator_lacks_says_so(text: str) -> None:
    with pytest.raises(CosmosError, match="not supported by this emulator"):
        evaluate_text(text)


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|aa)+$", "(a*)*b", "((a{1,9}){1,9}){1,9}b"])
def test_a_regular_expression_that_could_take_for_ever_is_refused(pattern: str) -> None:
    started = time.monotonic()
    with pytest.raises(CosmosError, match="could take too long"):
        evaluate_text("RegexMatch(@text, @pattern)", text="a" * 64 + "!", pattern=pattern)
    assert time.monotonic() - started < FOREVER_SECONDS


def test_a_text_that_grows_beyond_every_document_is_undefined() -> None:
    long = "a" * 2_000_000
    assert evaluate_text("REPLACE(@text, 'a', @text)", text=long) is UNDEFINED
    assert evaluate_text("CONCAT(@text, @text, @text)", text=long) is UNDEFINED
    assert evaluate_text("@text || @text || @text", text=long) is UNDEFINED
