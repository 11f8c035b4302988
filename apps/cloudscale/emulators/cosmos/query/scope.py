"""Where the expressions of a query take their values from: one list of values, with a place for each name."""

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from cloudscale.emulators.cosmos.errors import CosmosError, bad_request
from cloudscale.emulators.cosmos.query.ast import Expression, Name

QUERY_SECONDS: Final = 60.0
_STEPS_BETWEEN_LOOKS: Final = 200
# The place of the document itself.
DOCUMENT: Final = 0

Values = list[Any]
Evaluate = Callable[[Values], Any]


class Deadline:
    """Ends a query that takes too long: everything that repeats something counts its steps here."""

    def __init__(self, seconds: float = QUERY_SECONDS) -> None:
        self._at = time.monotonic() + seconds
        self._seconds = seconds
        self._steps = 0

    def step(self) -> None:
        """Count one step, and ``check`` now and then."""
        self._steps += 1
        if self._steps % _STEPS_BETWEEN_LOOKS == 0:
            self.check()

    def check(self) -> None:
        """Raise CosmosError 408 when the time is over."""
        if self.is_over():
            raise CosmosError(408, f"The query took longer than {self._seconds:g} s.")

    def is_over(self) -> bool:
        """Whether the time is over."""
        return time.monotonic() > self._at


@dataclass(slots=True)
class DocumentUse:
    """What a query needs of each document: all of it, or some members at its top."""

    whole: bool = False
    names: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Compilation:
    """What the parts of one query share. ``computed`` are the container's computed properties."""

    parameters: Mapping[str, Any]
    computed: Mapping[str, Expression] = field(default_factory=dict)
    use: DocumentUse = field(default_factory=DocumentUse)
    deadline: Deadline = field(default_factory=Deadline)
    places: int = 1
    moment: float = field(default_factory=time.time)

    def new_place(self) -> int:
        """A place for another value."""
        self.places += 1
        return self.places - 1

    def parameter(self, name: str, position: int) -> Any:
        """The value of ``@name``; raises CosmosError 400 when the request brings none."""
        if name not in self.parameters:
            raise bad_request(f"The parameter '{name}' at position {position} has no value.")
        value = self.parameters[name]
        if isinstance(value, int) and not -sys.float_info.max <= value <= sys.float_info.max:
            raise bad_request(f"The parameter '{name}' is beyond the range of a double.")
        return value


@dataclass(frozen=True, slots=True)
class Scope:
    """The names that an expression can use, with their places; a subquery sees those around it too."""

    names: Mapping[str, int]

    def with_name(self, name: str, place: int) -> "Scope":
        """The scope with one more name; raises CosmosError 400 when this query has it already."""
        return Scope({**self.names, name: place})

    def find(self, name: Name) -> int:
        """The place of a name; raises CosmosError 400."""
        place = self.names.get(name.name)
        if place is None:
            raise bad_request(f"Identifier '{name.name}' at position {name.position} could not be resolved.")
        return place
