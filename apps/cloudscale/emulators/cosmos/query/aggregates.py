"""COUNT, SUM, AVG, MIN and MAX.

Undefined values are left out; a value that cannot be summed makes SUM and AVG undefined; MIN and MAX compare by type
first ("Aggregate functions in Azure Cosmos DB").
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from cloudscale.emulators.cosmos.errors import bad_request
from cloudscale.emulators.cosmos.query.ast import UNDEFINED, Call
from cloudscale.emulators.cosmos.query.scope import Evaluate
from cloudscale.emulators.cosmos.query.values import ARRAY, SortKey, is_number, number, sort_key


class Accumulator(Protocol):
    """What is known of the values so far."""

    def add(self, value: Any) -> None:
        """Take in the value of another row."""

    def result(self) -> Any:
        """The aggregate over all rows."""


@dataclass(frozen=True, slots=True)
class Aggregate:
    """An aggregate function in a query: what it is computed of, and the place of its result."""

    start: Callable[[], Accumulator]
    argument: Evaluate
    place: int


def aggregate(call: Call, arguments: Sequence[Evaluate], place: int) -> Aggregate:
    """The aggregate; raises CosmosError 400 unless it has one argument."""
    if len(arguments) != 1:
        raise bad_request(f"{call.name} at position {call.position} takes one argument, not {len(arguments)}.")
    return Aggregate(_ACCUMULATORS[call.name], arguments[0], place)


class _Count:
    def __init__(self) -> None:
        self._count = 0

    def add(self, value: Any) -> None:
        self._count += value is not UNDEFINED

    def result(self) -> Any:
        return self._count


class _Sum:
    def __init__(self, *, mean: bool = False) -> None:
        self._mean = mean
        self._count = 0
        self._total: float = 0
        self._is_defined = True

    def add(self, value: Any) -> None:
        if value is UNDEFINED:
            return
        if not is_number(value):
            self._is_defined = False
            return
        self._count += 1
        try:
            self._total += value
        except OverflowError:
            self._total = math.inf

    def result(self) -> Any:
        if not self._is_defined or (self._mean and not self._count):
            return UNDEFINED
        try:
            return number(self._total / self._count if self._mean else self._total)
        except OverflowError:
            return UNDEFINED


class _Extreme:
    def __init__(self, *, largest: bool) -> None:
        self._largest = largest
        self._key: SortKey | None = None
        self._value: Any = UNDEFINED

    def add(self, value: Any) -> None:
        key = sort_key(value)
        # Arrays and objects have no order.
        if value is UNDEFINED or key[0] >= ARRAY:
            return
        if self._key is None or (key > self._key if self._largest else key < self._key):
            self._key, self._value = key, value

    def result(self) -> Any:
        return self._value


_ACCUMULATORS: Final[dict[str, Callable[[], Accumulator]]] = {
    "COUNT": _Count,
    "SUM": _Sum,
    "AVG": lambda: _Sum(mean=True),
    "MIN": lambda: _Extreme(largest=False),
    "MAX": lambda: _Extreme(largest=True),
}
NAMES: Final = frozenset(_ACCUMULATORS)
