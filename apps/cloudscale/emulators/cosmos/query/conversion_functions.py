"""Type checks, and functions that turn one type into another."""

import math
import re
from collections.abc import Callable
from typing import Any, Final

import msgspec

from cloudscale.emulators.cosmos.query.ast import UNDEFINED
from cloudscale.emulators.cosmos.query.date_functions import parse_ticks
from cloudscale.emulators.cosmos.query.signatures import Function, of_any, of_texts
from cloudscale.emulators.cosmos.query.values import (
    ARRAY,
    BOOLEAN,
    NOTHING,
    NULL,
    NUMBER,
    OBJECT,
    TEXT,
    is_number,
    rank,
)

_NUMBER: Final = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)


def _is(*types: int) -> Function:
    return of_any(lambda value: rank(value) in types, 1)


def _is_integer(value: Any) -> bool:
    return is_number(value) and value == math.floor(value) and -(2**63) <= value < 2**63


def _to_number(text: str) -> Any:
    plain = text.strip()
    if not _NUMBER.fullmatch(plain):
        return UNDEFINED
    value = float(plain)
    if not math.isfinite(value):
        return UNDEFINED
    return int(value) if value.is_integer() and abs(value) < 2**53 else value


def _parsed(*types: type) -> Callable[[str], Any]:
    def parse(text: str) -> Any:
        try:
            value = msgspec.json.decode(text.strip())
        except (msgspec.DecodeError, RecursionError, UnicodeEncodeError):
            return UNDEFINED
        return value if type(value) in types else UNDEFINED

    return parse


FUNCTIONS: Final[dict[str, Function]] = {
    "IS_DEFINED": of_any(lambda value: rank(value) != NOTHING, 1),
    "IS_NULL": _is(NULL),
    "IS_BOOL": _is(BOOLEAN),
    "IS_NUMBER": _is(NUMBER),
    "IS_STRING": _is(TEXT),
    "IS_ARRAY": _is(ARRAY),
    "IS_OBJECT": _is(OBJECT),
    "IS_PRIMITIVE": _is(NULL, BOOLEAN, NUMBER, TEXT),
    "IS_INTEGER": of_any(_is_integer, 1),
    "IS_FINITE_NUMBER": _is(NUMBER),
    "IS_DATETIME": of_any(lambda value: type(value) is str and parse_ticks(value) is not None, 1),
    "IIF": of_any(lambda condition, yes, no: yes if condition is True else no, 3),
    "STRINGTONUMBER": of_texts(_to_number, 1),
    "STRINGTOBOOLEAN": of_texts(_parsed(bool), 1),
    "STRINGTONULL": of_texts(_parsed(type(None)), 1),
    "STRINGTOARRAY": of_texts(_parsed(list), 1),
    "STRINGTOOBJECT": of_texts(_parsed(dict), 1),
}
