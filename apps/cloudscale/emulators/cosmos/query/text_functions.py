"""Functions of strings. Lengths and positions count UTF-16 units, as the service does."""

from typing import Any, Final

from cloudscale.emulators.cosmos.query import patterns
from cloudscale.emulators.cosmos.query.ast import UNDEFINED
from cloudscale.emulators.cosmos.query.signatures import Function, of_any, of_texts, typed
from cloudscale.emulators.cosmos.query.values import MAXIMUM_TEXT_CHARACTERS, to_text

MAXIMUM_REPLICATIONS: Final = 10_000


def _units(text: str) -> str:
    """The string with a character for each UTF-16 unit."""
    if text.isascii() or max(text) <= "\uffff":
        return text
    data = text.encode("utf-16-le")
    return "".join(chr(int.from_bytes(data[place : place + 2], "little")) for place in range(0, len(data), 2))


def _text(units: str) -> str:
    """The string of UTF-16 units; half of a pair becomes a replacement character."""
    if units.isascii() or not any("\ud800" <= unit <= "\udfff" for unit in units):
        return units
    return units.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _count(number: float) -> int:
    return max(int(number), 0)


def _substring(text: str, start: float, length: float) -> str:
    first = _count(start)
    return _text(_units(text)[first : first + _count(length)])


def _right(text: str, length: float) -> str:
    units = _units(text)
    return _text(units[max(len(units) - _count(length), 0) :])


def _index_of(text: str, wanted: str, start: float = 0) -> int:
    return _units(text).find(_units(wanted), _count(start))


def _concatenate(*texts: str) -> Any:
    return "".join(texts) if sum(map(len, texts)) <= MAXIMUM_TEXT_CHARACTERS else UNDEFINED


def _replace(text: str, old: str, new: str) -> Any:
    if not old:
        return text
    if len(text) + text.count(old) * len(new) > MAXIMUM_TEXT_CHARACTERS:
        return UNDEFINED
    return text.replace(old, new)


def _replicate(text: str, times: float) -> Any:
    if not 0 <= times <= MAXIMUM_REPLICATIONS or len(text) * times > MAXIMUM_TEXT_CHARACTERS:
        return UNDEFINED
    return text * int(times)


def _trim_left(text: str, unwanted: str | None = None) -> str:
    if unwanted is None:
        return text.lstrip()
    start = 0
    while unwanted and text.startswith(unwanted, start):
        start += len(unwanted)
    return text[start:]


def _trim_right(text: str, unwanted: str | None = None) -> str:
    if unwanted is None:
        return text.rstrip()
    end = len(text)
    while unwanted and text.endswith(unwanted, 0, end):
        end -= len(unwanted)
    return text[:end]


def _trim(text: str, unwanted: str | None = None) -> str:
    return _trim_right(_trim_left(text, unwanted), unwanted)


def _regular_expression(text: str, pattern: str, modifiers: str = "") -> bool:
    expression, repetitions = patterns.regular_expression(pattern, modifiers)
    return patterns.search(expression, repetitions, text)


def _test(compare: Any) -> Function:
    """A test of two strings, with an optional third argument that says to ignore case."""

    def test(left: Any, right: Any, ignore: Any = False) -> Any:
        if type(left) is not str or type(right) is not str:
            return UNDEFINED
        return compare(left.lower(), right.lower()) if ignore is True else compare(left, right)

    return of_any(test, 2, 3)


def _join(array: list[Any], separator: str) -> Any:
    if not all(isinstance(each, str) for each in array):
        return UNDEFINED
    size = sum(map(len, array)) + len(separator) * len(array)
    return separator.join(array) if size <= MAXIMUM_TEXT_CHARACTERS else UNDEFINED


FUNCTIONS: Final[dict[str, Function]] = {
    "STARTSWITH": _test(str.startswith),
    "ENDSWITH": _test(str.endswith),
    "CONTAINS": _test(lambda text, wanted: wanted in text),
    "STRINGEQUALS": _test(lambda left, right: left == right),
    "REGEXMATCH": of_texts(_regular_expression, 2, 3),
    "LOWER": of_texts(str.lower, 1),
    "UPPER": of_texts(str.upper, 1),
    "LENGTH": of_texts(lambda text: len(_units(text)), 1),
    "REVERSE": of_texts(lambda text: text[::-1], 1),
    "SUBSTRING": typed("snn", _substring),
    "LEFT": typed("sn", lambda text, length: _text(_units(text)[: _count(length)])),
    "RIGHT": typed("sn", _right),
    "INDEX_OF": typed("ssn", _index_of, optional=1),
    "CONCAT": of_texts(_concatenate, 2, 100),
    "REPLACE": of_texts(_replace, 3),
    "REPLICATE": typed("sn", _replicate),
    "TRIM": of_texts(_trim, 1, 2),
    "LTRIM": of_texts(_trim_left, 1, 2),
    "RTRIM": of_texts(_trim_right, 1, 2),
    "STRINGJOIN": typed("as", _join),
    "STRINGSPLIT": of_texts(lambda text, separator: text.split(separator) if separator else [text], 2),
    "TOSTRING": of_any(to_text, 1),
}
