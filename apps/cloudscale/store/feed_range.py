"""A part of a container's partition keys, which the change feed is read by."""

from __future__ import annotations

import msgspec


class FeedRange(msgspec.Struct, frozen=True):
    """A range of effective partition keys, in hexadecimal; ``upper`` is not in it."""

    lower: str
    upper: str

    @property
    def id(self) -> str:
        """A document id for the range."""
        return f"{self.lower or '00'}-{self.upper}"

    @classmethod
    def of(cls, range_id: str) -> FeedRange:
        """The range with this id."""
        lower, _, upper = range_id.partition("-")
        return cls("" if lower == "00" else lower, upper)

    def contains(self, other: FeedRange) -> bool:
        """Whether ``other`` is this range or a part of it."""
        return self.lower <= other.lower and other.upper <= self.upper

    def overlaps(self, other: FeedRange) -> bool:
        """Whether the two have keys in common."""
        return self.lower < other.upper and other.lower < self.upper
