"""How functions of Cosmos SQL are declared: how many arguments they take, and of which types."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cloudscale.emulators.cosmos.query.ast import UNDEFINED
from cloudscale.emulators.cosmos.query.values import is_number, number


@dataclass(frozen=True, slots=True)
class Function:
    """A function of values, with the least and the largest number of its arguments."""

    compute: Callable[..., Any]
    least: int
    most: int


def of_any(compute: Callable[..., Any], least: int, most: int | None = None) -> Function:
    """A function that looks at the types itself."""
    return Function(compute, least, least if most is None else most)


def of_texts(compute: Callable[..., Any], least: int, most: int | None = None) -> Function:
    """A function of strings, undefined for anything else."""

    def checked(*arguments: Any) -> Any:
        return compute(*arguments) if all(type(each) is str for each in arguments) else UNDEFINED

    return Function(checked, least, least if most is None else most)


def of_numbers(compute: Callable[..., Any], least: int, most: int | None = None) -> Function:
    """A function of numbers that gives a number; what cannot be computed is undefined."""

    def checked(*arguments: Any) -> Any:
        if not all(map(is_number, arguments)):
            return UNDEFINED
        try:
            return number(compute(*arguments))
        except (ValueError, OverflowError, ZeroDivisionError):
            return UNDEFINED

    return Function(checked, least, least if most is None else most)


def typed(types: str, compute: Callable[..., Any], *, optional: int = 0) -> Function:
    """A function of arguments of various types: ``s`` string, ``n`` number, ``b`` boolean, ``a`` array, ``o`` object.

    The last ``optional`` of them may be left out.
    """
    tests = [_TESTS[letter] for letter in types]

    def checked(*arguments: Any) -> Any:
        if not all(test(each) for test, each in zip(tests, arguments, strict=False)):
            return UNDEFINED
        return compute(*arguments)

    return Function(checked, len(types) - optional, len(types))


_TESTS: dict[str, Callable[[Any], bool]] = {
    "s": lambda value: type(value) is str,
    "n": is_number,
    "b": lambda value: type(value) is bool,
    "a": lambda value: type(value) is list,
    "o": lambda value: type(value) is dict,
    "x": lambda value: value is not UNDEFINED,
}
