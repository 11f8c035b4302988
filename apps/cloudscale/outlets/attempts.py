"""When a request that failed is made again: ever later, with jitter, and not before the receiver wishes."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from cloudscale.outlets.receiver import Answer

FIRST_DELAY: Final = timedelta(seconds=2)
LONGEST_DELAY: Final = timedelta(minutes=5)
DOUBLINGS: Final = 10


class Attempts(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """Requests of a range that failed since the last one that was taken."""

    since: datetime
    """When the first of them failed."""
    count: int
    next_at: datetime
    error: str
    """What became of the last one."""

    def is_over(self, now: datetime, *, retry_for: timedelta) -> bool:
        """Whether requests have failed for so long that the events of the last one are put aside."""
        return now >= self.since + retry_for


def failed(before: Attempts | None, answer: Answer, *, now: datetime, retry_for: timedelta, jitter: float) -> Attempts:
    """The attempts after one more that failed; ``jitter`` is a random number from 0 up to 1.

    A delay is between half and the whole of what it has doubled to. The last attempt is at the end of ``retry_for``.
    """
    count = 0 if before is None else before.count
    since = now if before is None else before.since
    delay = min(FIRST_DELAY * 2 ** min(count, DOUBLINGS), LONGEST_DELAY) * (0.5 + jitter / 2)
    next_at = now + delay
    if now < since + retry_for:
        next_at = min(next_at, since + retry_for)
    return Attempts(since=since, count=count + 1, next_at=max(next_at, now + answer.retry_after), error=answer.problem)
