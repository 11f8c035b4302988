"""Rate limits as pure arithmetic: a token bucket for each client and a sliding window for all of them.

The Redis script of :mod:`cloudscale.limits.admission` does the same sums for all replicas; here they serve one process
while Redis is away. The window estimates the last full one by its share that still lies inside (the sliding window
counter, as described by Cloudflare in "How we built rate limiting capable of scaling to millions of domains", 2017).
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Literal

import msgspec

from cloudscale.units import parse_duration

if TYPE_CHECKING:
    from cloudscale.pipeline import RateLimits

TRACKED_CLIENTS = 100_000


class Rates(msgspec.Struct, frozen=True):
    """The limits of one pipeline."""

    burst: int
    per_second: float
    window_limit: int
    window_milliseconds: int


def rates_of(limits: RateLimits) -> Rates:
    """The limits that the resource sets, with the window in milliseconds."""
    return Rates(
        burst=limits.per_client.burst,
        per_second=limits.per_client.per_second,
        window_limit=limits.global_.limit,
        window_milliseconds=round(parse_duration(limits.global_.window).total_seconds() * 1000),
    )


Limit = Literal["client", "global"]


class Allowance(msgspec.Struct, frozen=True, gc=False):
    """What the limits say to one request: the limit that refuses it, if one does, and what the client has left."""

    refused_by: Limit | None
    remaining: int
    retry_after_seconds: float = 0.0


class LocalRates:
    """The limits of one process, with the clock given by the caller in milliseconds."""

    def __init__(self, rates: Rates) -> None:
        self._rates = rates
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._window = 0
        self._current = 0
        self._previous = 0

    def admit(self, client: str, *, now_milliseconds: float) -> Allowance:
        """Take a token for one request of ``client``, if both limits allow it."""
        rates = self._rates
        tokens, at = self._buckets.pop(client, (float(rates.burst), now_milliseconds))
        tokens = min(rates.burst, tokens + max(0.0, now_milliseconds - at) * rates.per_second / 1000)
        self._buckets[client] = (tokens, now_milliseconds)
        if len(self._buckets) > TRACKED_CLIENTS:
            self._buckets.popitem(last=False)
        if tokens < 1:
            return Allowance("client", 0, (1 - tokens) / rates.per_second)

        self._turn_to(int(now_milliseconds // rates.window_milliseconds))
        elapsed = now_milliseconds % rates.window_milliseconds
        estimate = self._previous * (1 - elapsed / rates.window_milliseconds) + self._current
        if estimate + 1 > rates.window_limit:
            return Allowance("global", int(tokens), (rates.window_milliseconds - elapsed) / 1000)
        self._current += 1
        self._buckets[client] = (tokens - 1, now_milliseconds)
        return Allowance(None, int(tokens - 1))

    def _turn_to(self, window: int) -> None:
        if window != self._window:
            self._previous = self._current if window == self._window + 1 else 0
            self._window, self._current = window, 0
