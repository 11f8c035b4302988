"""Remembers who has used up their tokens, so that their next requests are refused before they are read.

The token bucket in Redis says how long it takes until there is a token again. Until then the answer is known, whatever
the request brings, so neither its body nor a call to Redis is needed.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from cloudscale.limits.rates import Allowance, bucket_names

if TYPE_CHECKING:
    from cloudscale.limits.rates import Sender

TRACKED_EXHAUSTED_SENDERS = 10_000


class ExhaustedSenders:
    """The addresses, keys and tenants of one process without a token, with the clock given by the caller in seconds."""

    def __init__(self) -> None:
        self._until: OrderedDict[str, float] = OrderedDict()

    def note(self, sender: Sender, allowance: Allowance, *, now_seconds: float) -> None:
        """Remember what the limits have said to a request of ``sender``."""
        for holder, name in bucket_names(sender):
            if holder == allowance.refused_by:
                self._until[name] = now_seconds + allowance.retry_after_seconds
                self._until.move_to_end(name)
        if len(self._until) > TRACKED_EXHAUSTED_SENDERS:
            self._until.popitem(last=False)

    def refusal_of(self, sender: Sender, *, now_seconds: float) -> Allowance | None:
        """What the limits would say now, None if they have to be asked."""
        if not self._until:
            return None
        for holder, name in bucket_names(sender):
            until = self._until.get(name)
            if until is None:
                continue
            if until > now_seconds:
                return Allowance(holder, 0, until - now_seconds, holder)
            del self._until[name]
        return None
