"""The operators of Cosmos SQL, over functions that give their operands.

Three values: true, false and undefined. What has an operand of the wrong type is undefined.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, Final

from cloudscale.emulators.cosmos.query.ast import UNDEFINED
from cloudscale.emulators.cosmos.query.scope import Evaluate, Values
from cloudscale.emulators.cosmos.query.values import (
    MAXIMUM_TEXT_CHARACTERS,
    NOTHING,
    compare,
    equal,
    identity,
    is_number,
    number,
    rank,
)

_BITS: Final = 32


def conjunction(operands: Sequence[Evaluate]) -> Evaluate:
    """``AND``: false as soon as one is false."""
    return _decided_by(operands, decisive=False)


def disjunction(operands: Sequence[Evaluate]) -> Evaluate:
    """``OR``: true as soon as one is true."""
    return _decided_by(operands, decisive=True)


def _decided_by(operands: Sequence[Evaluate], *, decisive: bool) -> Evaluate:
    """``decisive`` as soon as one operand is, its opposite when all are that, and otherwise undefined."""
    opposite = not decisive

    def evaluate(values: Values) -> Any:
        result: Any = opposite
        for operand in operands:
            value = operand(values)
            if value is decisive:
                return decisive
            if value is not opposite:
                result = UNDEFINED
        return result

    return evaluate


def membership(operand: Evaluate, constants: Sequence[Any], others: Sequence[Evaluate]) -> Evaluate:
    """``IN``: constants are looked up, however many they are."""
    known = {identity(value) for value in constants if value is not UNDEFINED}
    has_undefined = any(value is UNDEFINED for value in constants)

    def evaluate(values: Values) -> Any:
        value = operand(values)
        if value is UNDEFINED:
            return UNDEFINED
        if identity(value) in known:
            return True
        result: Any = UNDEFINED if has_undefined else False
        for other in others:
            same = equal(value, other(values))
            if same is True:
                return True
            if same is UNDEFINED:
                result = UNDEFINED
        return result

    return evaluate


def complement(operand: Evaluate) -> Evaluate:
    """``~``, over 32 bits."""

    def evaluate(values: Values) -> Any:
        value = _integer(operand(values))
        return UNDEFINED if value is None else ~value

    return evaluate


def _equality(left: Evaluate, right: Evaluate) -> Evaluate:
    return lambda values: equal(left(values), right(values))


def _inequality(left: Evaluate, right: Evaluate) -> Evaluate:
    def evaluate(values: Values) -> Any:
        same = equal(left(values), right(values))
        return same if same is UNDEFINED else not same

    return evaluate


def _order(test: Callable[[int], bool]) -> Callable[[Evaluate, Evaluate], Evaluate]:
    def build(left: Evaluate, right: Evaluate) -> Evaluate:
        def evaluate(values: Values) -> Any:
            result = compare(left(values), right(values))
            return UNDEFINED if result is None else test(result)

        return evaluate

    return build


def _arithmetic(compute: Callable[[Any, Any], Any]) -> Callable[[Evaluate, Evaluate], Evaluate]:
    def build(left: Evaluate, right: Evaluate) -> Evaluate:
        def evaluate(values: Values) -> Any:
            first, second = left(values), right(values)
            if not (is_number(first) and is_number(second)):
                return UNDEFINED
            try:
                return number(compute(first, second))
            except (ZeroDivisionError, OverflowError, ValueError):
                return UNDEFINED

        return evaluate

    return build


def _bitwise(compute: Callable[[int, int], int]) -> Callable[[Evaluate, Evaluate], Evaluate]:
    def build(left: Evaluate, right: Evaluate) -> Evaluate:
        def evaluate(values: Values) -> Any:
            first, second = _integer(left(values)), _integer(right(values))
            return UNDEFINED if first is None or second is None else compute(first, second)

        return evaluate

    return build


def _integer(value: Any) -> int | None:
    """A number as a whole one of 32 bits, as bitwise operators take it."""
    return _signed(int(value)) if is_number(value) else None


def _signed(value: int) -> int:
    value &= 2**_BITS - 1
    return value - 2**_BITS if value >= 2 ** (_BITS - 1) else value


def _concatenation(left: Evaluate, right: Evaluate) -> Evaluate:
    def evaluate(values: Values) -> Any:
        first, second = left(values), right(values)
        if not (isinstance(first, str) and isinstance(second, str)):
            return UNDEFINED
        return first + second if len(first) + len(second) <= MAXIMUM_TEXT_CHARACTERS else UNDEFINED

    return evaluate


def _first_defined(left: Evaluate, right: Evaluate) -> Evaluate:
    def evaluate(values: Values) -> Any:
        value = left(values)
        return right(values) if rank(value) == NOTHING else value

    return evaluate


def _remainder(left: float, right: float) -> float:
    if isinstance(left, int) and isinstance(right, int):
        # Of the sign of the left side, and exact.
        return int(math.copysign(1, left)) * (abs(left) % abs(right))
    return math.fmod(left, right)


BINARY: Final[dict[str, Callable[[Evaluate, Evaluate], Evaluate]]] = {
    "=": _equality,
    "!=": _inequality,
    "<": _order(lambda result: result < 0),
    "<=": _order(lambda result: result <= 0),
    ">": _order(lambda result: result > 0),
    ">=": _order(lambda result: result >= 0),
    "+": _arithmetic(lambda left, right: left + right),
    "-": _arithmetic(lambda left, right: left - right),
    "*": _arithmetic(lambda left, right: left * right),
    "/": _arithmetic(lambda left, right: left / right),
    "%": _arithmetic(_remainder),
    "|": _bitwise(lambda left, right: left | right),
    "&": _bitwise(lambda left, right: left & right),
    "^": _bitwise(lambda left, right: left ^ right),
    "<<": _bitwise(lambda left, right: _signed(left << (right % _BITS))),
    ">>": _bitwise(lambda left, right: left >> (right % _BITS)),
    ">>>": _bitwise(lambda left, right: (left & (2**_BITS - 1)) >> (right % _BITS)),
    "||": _concatenation,
    "??": _first_defined,
}
