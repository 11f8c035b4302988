"""What an event adds to its user's profile."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from cloudscale.store.feed_range import FeedRange

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from cloudscale.store.batches import Document
    from cloudscale.store.profiles import Profile

AMOUNT_DIGITS = 6
"""Sums of money are rounded to so many decimals after each addition, so that doubles add up to what was paid."""


class Change(msgspec.Struct, frozen=True, rename="camel", kw_only=True, gc=False):
    """What a profile needs of an event. ``lsn`` is its transaction's number in the range."""

    event_type: str
    created_at: str
    tenant_id: str
    user_id: str | None = None
    lsn: int = msgspec.field(name="_lsn")


class PurchaseChange(Change, frozen=True, kw_only=True, gc=False):
    """What a profile needs of a purchase."""

    amount: float
    currency: str


def change_of(event: Document) -> Change | None:
    """The change that an event of the feed makes; None for a document that is no event.

    Another tool may have written to the container, and a feed has no dead letters.
    """
    try:
        return msgspec.convert(event, PurchaseChange if event.get("eventType") == "purchase" else Change)
    except msgspec.ValidationError:
        return None


def apply(profile: Profile, changes: Iterable[Change], *, of: FeedRange, scoring: Mapping[str, int]) -> bool:
    """Add changes of one range to a profile; whether any was new to it.

    Changes up to the profile's position are in its sums, so the same ones can be applied any number of times. Changes
    of one transaction share a number, and the feed gives them together, so all of them have to be in ``changes``.
    """
    before = reached = position(profile, of)
    for change in changes:
        if change.lsn > before:
            reached = max(reached, change.lsn)
            _add(profile, change, scoring)
    if reached == before:
        return False
    profile.position[of.id] = reached
    return True


def position(profile: Profile, of: FeedRange) -> int:
    """The last number of ``of`` that is in the profile's sums; that of the parent after a split."""
    reached = profile.position.get(of.id)
    if reached is not None:
        return reached
    return max((lsn for name, lsn in profile.position.items() if FeedRange.of(name).contains(of)), default=-1)


def _add(profile: Profile, change: Change, scoring: Mapping[str, int]) -> None:
    event_type = change.event_type
    profile.score += scoring.get(event_type, 0)
    profile.events += 1
    profile.counts[event_type] = profile.counts.get(event_type, 0) + 1
    if isinstance(change, PurchaseChange):
        paid = profile.purchases.get(change.currency, 0.0) + change.amount
        profile.purchases[change.currency] = round(paid, AMOUNT_DIGITS)
    profile.first_seen = min(profile.first_seen or change.created_at, change.created_at)
    profile.last_seen = max(profile.last_seen, change.created_at)
