"""The rules that evaluate an event by what was seen before of its user, or of a value in it.

Each says what it looks at, and what is wrong with it given what came before. What they remember lies in Redis.
"""

from __future__ import annotations

import hashlib
import math
import statistics
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

import msgspec

from cloudscale.limits.recent import Seen
from cloudscale.store.alerts import Kind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cloudscale.pipeline.processing import ImpossibleTravel, SharedValue, UnusualAmount
    from cloudscale.store.batches import Document
    from cloudscale.worker.decoding import Accepted

REMEMBERED_PURCHASES = 20
PURCHASE_DAYS = timedelta(days=30)
REMEMBERED_PLACES = 20
JOURNEY = timedelta(days=1)
"""Places that lie further back say nothing: everybody can be anywhere after a day."""
NEARBY_KILOMETERS = 100.0
"""Places found by an address are no more exact than that."""
EARTH_RADIUS_KILOMETERS = 6371.0

Evidence = dict[str, object]


class Finding(msgspec.Struct, frozen=True):
    """What is suspicious about an event. Findings of one kind and tenant ``about`` the same thing make one alert."""

    kind: Kind
    evidence: Evidence
    about: str


class Rule(Protocol):
    """Evaluates one event by what came before. ``kept`` members of a subject are remembered for ``window``."""

    @property
    def kind(self) -> Kind:
        """Its name."""

    @property
    def window(self) -> timedelta:
        """How long something is remembered."""

    @property
    def kept(self) -> int:
        """Of how much at the most."""

    def look(self, event: Accepted, document: Document) -> Seen | None:
        """What it remembers of the event; None when the event does not concern it."""

    def evaluate(self, seen: Seen, before: Sequence[Seen]) -> Evidence | None:
        """The evidence if what was seen is suspicious after what came ``before``, the latest of which is first."""

    def about(self, event: Accepted, seen: Seen) -> str:
        """What an alert is about."""


class UnusualAmountRule:
    """A purchase of many times what its user usually pays in this currency."""

    kind: Kind = "unusual_amount"
    window = PURCHASE_DAYS
    kept = REMEMBERED_PURCHASES

    def __init__(self, spec: UnusualAmount) -> None:
        self._spec = spec

    def look(self, event: Accepted, document: Document) -> Seen | None:
        """The amount of a purchase."""
        if event.event_type != "purchase" or event.user_id is None:
            return None
        subject = f"amount:{event.tenant_id}:{document['currency']}:{event.user_id}"
        return Seen(subject, f"{event.id} {float(document['amount'])!r}", event.created_at.timestamp() * 1000)

    def evaluate(self, seen: Seen, before: Sequence[Seen]) -> Evidence | None:
        """Compare it with the median, which one large purchase before does not move."""
        if len(before) < self._spec.after_purchases:
            return None
        amount, usual = _amount_of(seen), statistics.median(map(_amount_of, before))
        # To somebody who got everything for nothing any price is many times the usual one.
        if usual <= 0 or amount <= self._spec.factor * usual:
            return None
        return {"amount": amount, "usual": usual, "purchases": len(before), "factor": self._spec.factor}

    def about(self, event: Accepted, seen: Seen) -> str:  # noqa: ARG002 - each purchase is one of its own
        """The purchase."""
        return event.id


class SharedValueRule:
    """One value of a property with many users."""

    kind: Kind = "shared_value"

    def __init__(self, spec: SharedValue, *, window: timedelta) -> None:
        self._spec = spec
        self.window = window
        self.kept = spec.users + 1

    def look(self, event: Accepted, document: Document) -> Seen | None:
        """The user who has the value. The value itself is not kept, only a digest of it."""
        value = property_of(document, self._spec.property)
        if event.user_id is None or isinstance(value, bool) or not isinstance(value, str | int) or value == "":
            return None
        digest = hashlib.blake2b(str(value).encode(), digest_size=16).hexdigest()
        return Seen(f"value:{event.tenant_id}:{digest}", event.user_id, event.created_at.timestamp() * 1000)

    def evaluate(self, seen: Seen, before: Sequence[Seen]) -> Evidence | None:  # noqa: ARG002 - any user is one more
        """Count the users."""
        users = len(before) + 1
        if users <= self._spec.users:
            return None
        return {
            "property": self._spec.property,
            "users": users,
            "limit": self._spec.users,
            "windowSeconds": self.window.total_seconds(),
        }

    def about(self, event: Accepted, seen: Seen) -> str:  # noqa: ARG002 - it is about nobody's event
        """The value, anew in each window."""
        digest = seen.subject.rpartition(":")[2]
        return f"{digest}-{int(seen.milliseconds // (self.window.total_seconds() * 1000))}"


class ImpossibleTravelRule:
    """A user who is at another place sooner than one can get there."""

    kind: Kind = "impossible_travel"
    window = JOURNEY
    kept = REMEMBERED_PLACES

    def __init__(self, spec: ImpossibleTravel) -> None:
        self._spec = spec

    def look(self, event: Accepted, document: Document) -> Seen | None:
        """Where the user was."""
        place = property_of(document, self._spec.property)
        if event.user_id is None or not isinstance(place, dict):
            return None
        latitude, longitude = place.get("latitude"), place.get("longitude")
        if not _is_within(latitude, 90) or not _is_within(longitude, 180):
            return None
        member = f"{event.id} {latitude:.4f} {longitude:.4f}"
        return Seen(f"place:{event.tenant_id}:{event.user_id}", member, event.created_at.timestamp() * 1000)

    def evaluate(self, seen: Seen, before: Sequence[Seen]) -> Evidence | None:
        """Compare with the place before."""
        if not before:
            return None
        there, here = _place_of(before[0]), _place_of(seen)
        kilometers = distance_kilometers(there, here)
        seconds = (seen.milliseconds - before[0].milliseconds) / 1000
        if kilometers <= NEARBY_KILOMETERS or kilometers <= self._spec.kilometers_per_hour * seconds / 3600:
            return None
        return {
            "from": {"latitude": there[0], "longitude": there[1]},
            "to": {"latitude": here[0], "longitude": here[1]},
            "kilometers": round(kilometers),
            "seconds": seconds,
            "limitKilometersPerHour": self._spec.kilometers_per_hour,
        }

    def about(self, event: Accepted, seen: Seen) -> str:  # noqa: ARG002 - each journey is one of its own
        """The event at the end of the journey."""
        return event.id


def property_of(document: Document, name: str) -> object:
    """A property of an event, in its ``properties`` or beside them; None if there is none."""
    properties = document.get("properties")
    if isinstance(properties, dict) and name in properties:
        return properties[name]
    return document.get(name)


def distance_kilometers(one: tuple[float, float], other: tuple[float, float]) -> float:
    """Along the surface between two places in degrees of latitude and longitude (haversine formula)."""
    (latitude, longitude), (other_latitude, other_longitude) = (
        tuple(map(math.radians, place)) for place in (one, other)
    )
    half = (
        math.sin((other_latitude - latitude) / 2) ** 2
        + math.cos(latitude) * math.cos(other_latitude) * math.sin((other_longitude - longitude) / 2) ** 2
    )
    return 2 * EARTH_RADIUS_KILOMETERS * math.asin(min(1.0, math.sqrt(half)))


def _is_within(degrees: object, bound: int) -> bool:
    return isinstance(degrees, int | float) and not isinstance(degrees, bool) and -bound <= degrees <= bound


def _amount_of(seen: Seen) -> float:
    return float(seen.member.rpartition(" ")[2])


def _place_of(seen: Seen) -> tuple[float, float]:
    _, latitude, longitude = seen.member.rsplit(" ", 2)
    return float(latitude), float(longitude)
