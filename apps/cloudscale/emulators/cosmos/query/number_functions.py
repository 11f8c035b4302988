"""Functions of numbers."""

import math
import random
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Final

from cloudscale.emulators.cosmos.query.ast import UNDEFINED
from cloudscale.emulators.cosmos.query.signatures import Function, of_any, of_numbers
from cloudscale.emulators.cosmos.query.values import is_number

_WORD: Final = 64


def _floor(value: float) -> float:
    return value if isinstance(value, int) else float(math.floor(value))


def _ceiling(value: float) -> float:
    return value if isinstance(value, int) else float(math.ceil(value))


def _truncate(value: float) -> float:
    return value if isinstance(value, int) else float(math.trunc(value))


def _round(value: float, digits: float = 0) -> float:
    """Round half away from zero."""
    places = int(digits)
    if isinstance(value, int) and places >= 0:
        return value
    if abs(value) >= 2**53 and places >= 0:
        return value
    exact = Decimal(repr(value)).quantize(Decimal(1).scaleb(-max(min(places, 15), -15)), rounding=ROUND_HALF_UP)
    return float(exact)


def _logarithm(value: float, base: float | None = None) -> float:
    if base is None:
        return math.log(value)
    # Exact where the base has a function of its own.
    if base == 10:
        return math.log10(value)
    return math.log2(value) if base == 2 else math.log(value, base)


def _bin(value: float, size: float = 1) -> float:
    return math.floor(value / size) * size


def _integers(compute: Any, count: int = 2) -> Function:
    """A function of whole numbers of 64 bits."""

    def checked(*arguments: Any) -> Any:
        whole = [_whole(each) for each in arguments]
        if None in whole:
            return UNDEFINED
        try:
            return _signed(compute(*whole))
        except (ZeroDivisionError, ValueError):
            return UNDEFINED

    return of_any(checked, count)


def _whole(value: Any) -> int | None:
    if not is_number(value) or int(value) != value or not -(2**63) <= value < 2**63:
        return None
    return int(value)


def _signed(value: int) -> int:
    value &= 2**_WORD - 1
    return value - 2**_WORD if value >= 2 ** (_WORD - 1) else value


def _divide(left: int, right: int) -> int:
    quotient = abs(left) // abs(right)
    return quotient if (left < 0) == (right < 0) else -quotient


FUNCTIONS: Final[dict[str, Function]] = {
    "ABS": of_numbers(abs, 1),
    "FLOOR": of_numbers(_floor, 1),
    "CEILING": of_numbers(_ceiling, 1),
    "TRUNC": of_numbers(_truncate, 1),
    "ROUND": of_numbers(_round, 1, 2),
    "SIGN": of_numbers(lambda value: (value > 0) - (value < 0), 1),
    "POWER": of_numbers(math.pow, 2),
    "SQUARE": of_numbers(lambda value: value * value, 1),
    "SQRT": of_numbers(math.sqrt, 1),
    "EXP": of_numbers(math.exp, 1),
    "LOG": of_numbers(_logarithm, 1, 2),
    "LOG10": of_numbers(math.log10, 1),
    "PI": of_any(lambda: math.pi, 0),
    "RAND": of_any(random.random, 0),
    "SIN": of_numbers(math.sin, 1),
    "COS": of_numbers(math.cos, 1),
    "TAN": of_numbers(math.tan, 1),
    "COT": of_numbers(lambda value: 1 / math.tan(value), 1),
    "ASIN": of_numbers(math.asin, 1),
    "ACOS": of_numbers(math.acos, 1),
    "ATAN": of_numbers(math.atan, 1),
    "ATN2": of_numbers(math.atan2, 2),
    "DEGREES": of_numbers(math.degrees, 1),
    "RADIANS": of_numbers(math.radians, 1),
    "NUMBERBIN": of_numbers(_bin, 1, 2),
    "INTADD": _integers(lambda left, right: left + right),
    "INTSUB": _integers(lambda left, right: left - right),
    "INTMUL": _integers(lambda left, right: left * right),
    "INTDIV": _integers(_divide),
    "INTMOD": _integers(lambda left, right: left - right * _divide(left, right)),
    "INTBITAND": _integers(lambda left, right: left & right),
    "INTBITOR": _integers(lambda left, right: left | right),
    "INTBITXOR": _integers(lambda left, right: left ^ right),
    "INTBITNOT": _integers(lambda value: ~value, 1),
    "INTBITLEFTSHIFT": _integers(lambda value, bits: value << (bits % _WORD)),
    "INTBITRIGHTSHIFT": _integers(lambda value, bits: value >> (bits % _WORD)),
}
