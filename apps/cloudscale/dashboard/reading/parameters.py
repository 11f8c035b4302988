"""The parameters of a query string, checked one by one; what is wrong with them is said all at once."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from cloudscale.dashboard.problems import Kind, ParameterError, RefusedReadingError
from cloudscale.events.checking import EARLIEST, END
from cloudscale.events.timestamps import parse_moment

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from starlette.datastructures import QueryParams

SHORT: Final = "must have 1 to 128 characters, without control characters"
ID: Final = r"must have 1 to 255 characters, without / \ ? # and control characters"

Value = TypeVar("Value")


class Parameters:
    """The parameters of a query string, and what is wrong with them.

    Args:
        given: those of the request.
        names: those that there are.
    """

    def __init__(self, given: QueryParams, names: Sequence[str]) -> None:
        self._given = given
        self._errors: list[ParameterError] = []
        for name in given:
            if name not in names:
                self.refuse(name[:64], f"is not known; there are {', '.join(names)}")
            elif len(given.getlist(name)) > 1:
                self.refuse(name, "is given more than once")

    def refuse(self, name: str, message: str) -> None:
        """Note what is wrong with a parameter."""
        self._errors.append(ParameterError(name, message))

    def check(self) -> None:
        """Refuse the request if something was wrong.

        Raises:
            RefusedReadingError: it names every parameter that is.
        """
        if self._errors:
            detail = "; ".join(f"{error.parameter} {error.message}" for error in self._errors[:10])
            raise RefusedReadingError(Kind.INVALID, f"{detail}.", errors=self._errors[:10])

    def get(self, name: str) -> str | None:
        """A parameter as it is; None if it is not given."""
        return self._given.get(name)

    def text(self, name: str, kind: Any, rule: str) -> str | None:
        """A text of a ``kind`` that msgspec checks; ``rule`` says what it has to be."""
        text = self.get(name)
        if text is None:
            return None
        try:
            return str(msgspec.convert(text, kind))
        except msgspec.ValidationError:
            self.refuse(name, rule)
            return None

    def choice(self, name: str, values: dict[str, Value]) -> Value | None:
        """What one of some words stands for."""
        text = self.get(name)
        if text is None or text in values:
            return None if text is None else values[text]
        self.refuse(name, f"must be {' or '.join(values)}")
        return None

    def moment(self, name: str) -> datetime | None:
        """A time that events may have, in UTC."""
        text = self.get(name)
        if text is None:
            return None
        moment = parse_moment(text)
        if moment is None:
            # In a query string + means a space.
            self.refuse(name, "must be a time with its offset, as in 2024-05-02T10:00:00Z (send + as %2B)")
        elif not EARLIEST <= moment <= END:
            self.refuse(name, f"must be from {EARLIEST:%Y} to {END:%Y}: events are of no other time")
        else:
            return moment.astimezone(UTC)
        return None

    def number(self, name: str, *, usual: int, most: int) -> int:
        """A number from 1 to ``most``; ``usual`` if it is not given."""
        text = self.get(name)
        if text is None:
            return usual
        if text.isascii() and text.isdecimal() and len(text) <= len(str(most)) and 1 <= int(text) <= most:
            return int(text)
        self.refuse(name, f"must be a number from 1 to {most}")
        return usual
