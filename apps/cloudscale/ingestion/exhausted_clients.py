"""Remembers which clients have used up their tokens, so that their next requests are refused before they are read.

The token bucket in Redis says how long it takes until there is a token again. Until then the answer is known, whatever
the request brings, so neither its body nor a call to Redis is needed.
"""

from __future__ import annotations

from collections import OrderedDict

import msgspec

from cloudscale.limits.rates import Allowance

TRACKED_EXHAUSTED_CLIENTS = 10_000


class ExhaustedClients:
    """The clients of one process without a token, with the clock given by the caller in seconds."""

    def __init__(self) -> None:
        self._until: OrderedDict[str, float] = OrderedDict()

    def note(self, client: str, allowance: Allowance, *, now_seconds: float) -> None:
        """Remember what the limits have said to a request of ``client``."""
        if allowance.refused_by != "client":
            return
        self._until[client] = now_seconds + allowance.retry_after_seconds
        self._until.move_to_end(client)
        if len(self._until) > TRACKED_EXHAUSTED_CLIENTS:
            self._until.popitem(last=False)

    def refusal_of(self, client: str, *, now_seconds: float) -> Allowance | None:
        """What the limits would say now, None if they have to be asked."""
        until = self._until.get(client)
        if until is None:
            return None
        if until <= now_seconds:
            del self._until[client]
            return None
        return msgspec.structs.replace(_EXHAUSTED, retry_after_seconds=until - now_seconds)


_EXHAUSTED = Allowance("client", 0)
