"""Functions of arrays, sets and objects."""

from typing import Any, Final

from cloudscale.emulators.cosmos.query.ast import UNDEFINED
from cloudscale.emulators.cosmos.query.signatures import Function, of_any, typed
from cloudscale.emulators.cosmos.query.values import equal, identity, is_number

MAXIMUM_ELEMENTS: Final = 1_000_000


def _contains(array: Any, wanted: Any, partial: Any = False) -> Any:
    if type(array) is not list:
        return UNDEFINED
    if partial is True and type(wanted) is dict:
        return any(_holds(element, wanted) for element in array)
    return any(equal(element, wanted) is True for element in array)


def _holds(value: Any, wanted: Any) -> bool:
    """Whether an object has all members of another one, and those that are objects theirs."""
    if type(wanted) is not dict:
        return equal(value, wanted) is True
    return type(value) is dict and all(name in value and _holds(value[name], member) for name, member in wanted.items())


def _contains_any(array: Any, *wanted: Any) -> Any:
    if type(array) is not list:
        return UNDEFINED
    known = set(map(identity, array))
    return any(each is not UNDEFINED and identity(each) in known for each in wanted)


def _contains_all(array: Any, *wanted: Any) -> Any:
    if type(array) is not list:
        return UNDEFINED
    known = set(map(identity, array))
    return all(each is not UNDEFINED and identity(each) in known for each in wanted)


def _concatenate(*arrays: Any) -> Any:
    if not all(type(array) is list for array in arrays) or sum(map(len, arrays)) > MAXIMUM_ELEMENTS:
        return UNDEFINED
    return [element for array in arrays for element in array]


def _slice(array: list[Any], start: float, length: float | None = None) -> list[Any]:
    first = int(start)
    first = max(len(array) + first, 0) if first < 0 else first
    return array[first:] if length is None else array[first : first + max(int(length), 0)]


def _distinct(array: list[Any]) -> dict[Any, Any]:
    found: dict[Any, Any] = {}
    for element in array:
        found.setdefault(identity(element), element)
    return found


def _set_union(left: list[Any], right: list[Any]) -> list[Any]:
    return list(_distinct([*left, *right]).values())


def _intersection(left: list[Any], right: list[Any]) -> list[Any]:
    other = set(map(identity, right))
    return [element for key, element in _distinct(left).items() if key in other]


def _difference(left: list[Any], right: list[Any]) -> list[Any]:
    other = set(map(identity, right))
    return [element for key, element in _distinct(left).items() if key not in other]


def _choose(index: Any, *choices: Any) -> Any:
    if not is_number(index) or not 1 <= index <= len(choices):
        return UNDEFINED
    return choices[int(index) - 1]


def _to_array(value: dict[str, Any], name: str = "k", member: str = "v") -> list[dict[str, Any]]:
    return [{name: key, member: each} for key, each in value.items()]


FUNCTIONS: Final[dict[str, Function]] = {
    "ARRAY_CONTAINS": of_any(_contains, 2, 3),
    "ARRAY_CONTAINS_ANY": of_any(_contains_any, 2, 100),
    "ARRAY_CONTAINS_ALL": of_any(_contains_all, 2, 100),
    "ARRAY_CONCAT": of_any(_concatenate, 2, 100),
    "ARRAY_LENGTH": typed("a", len),
    "ARRAY_SLICE": typed("ann", _slice, optional=1),
    "SETUNION": typed("aa", _set_union),
    "SETINTERSECT": typed("aa", _intersection),
    "SETDIFFERENCE": typed("aa", _difference),
    "SETEQUAL": typed("aa", lambda left, right: set(map(identity, left)) == set(map(identity, right))),
    "CHOOSE": of_any(_choose, 2, 100),
    "OBJECTTOARRAY": typed("oss", _to_array, optional=2),
}
