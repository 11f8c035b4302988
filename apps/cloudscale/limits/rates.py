"""Rate limits as pure arithmetic.

Each client has a bucket of requests and one of events; all together have a sliding window of requests and a bucket of
events.

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

UNLIMITED = 10**9


class Rates(msgspec.Struct, frozen=True):
    """The limits of one pipeline."""

    burst: int
    per_second: float
    window_limit: int
    window_milliseconds: int
    events_burst: int = UNLIMITED
    events_per_second: float = UNLIMITED
    global_events_burst: int = UNLIMITED
    global_events_per_second: float = UNLIMITED


def rates_of(limits: RateLimits) -> Rates:
    """The limits that the resource sets, with the window in milliseconds."""
    return Rates(
        burst=limits.per_client.burst,
        per_second=limits.per_client.per_second,
        window_limit=limits.global_.limit,
        window_milliseconds=round(parse_duration(limits.global_.window).total_seconds() * 1000),
        events_burst=limits.per_client.events_burst,
        events_per_second=limits.per_client.events_per_second,
        global_events_burst=limits.global_.events_burst,
        global_events_per_second=limits.global_.events_per_second,
    )


Limit = Literal["client", "global", "client-events", "global-events"]
"""Which limit refuses a request: one client's requests, everybody's, one client's events, everybody's."""


class Allowance(msgspec.Struct, frozen=True, gc=False):
    """What the limits say to one request: the limit that refuses it, if one does, and what the client has left."""

    refused_by: Limit | None
    remaining: int
    retry_after_seconds: float = 0.0


class _Bucket(msgspec.Struct):
    """Tokens that come back at a steady rate."""

    tokens: float
    at_milliseconds: float

    def refill(self, now_milliseconds: float, *, burst: float, per_second: float) -> None:
        passed = max(0.0, now_milliseconds - self.at_milliseconds)
        self.tokens = min(burst, self.tokens + passed * per_second / 1000)
        self.at_milliseconds = now_milliseconds


class LocalRates:
    """The limits of one process, with the clock given by the caller in milliseconds."""

    def __init__(self, rates: Rates) -> None:
        self._rates = rates
        self._clients: OrderedDict[str, tuple[_Bucket, _Bucket]] = OrderedDict()
        self._events: _Bucket | None = None
        self._window = 0
        self._current = 0
        self._previous = 0

    def admit(self, client: str, events: int = 0, *, now_milliseconds: float) -> Allowance:
        """Take the tokens of one request of ``client`` with so many events, if all limits allow it."""
        rates = self._rates
        requests, own_events = self._buckets_of(client, now_milliseconds)
        remaining = int(requests.tokens)
        if requests.tokens < 1:
            return Allowance("client", 0, (1 - requests.tokens) / rates.per_second)
        if own_events.tokens < events:
            # It was read before it could be counted, so it costs a request: of many, most are refused unread.
            requests.tokens -= 1
            return Allowance("client-events", remaining - 1, (events - own_events.tokens) / rates.events_per_second)

        self._turn_to(int(now_milliseconds // rates.window_milliseconds))
        elapsed = now_milliseconds % rates.window_milliseconds
        estimate = self._previous * (1 - elapsed / rates.window_milliseconds) + self._current
        if estimate + 1 > rates.window_limit:
            return Allowance("global", remaining, (rates.window_milliseconds - elapsed) / 1000)
        all_events = self._events = self._events or _Bucket(rates.global_events_burst, now_milliseconds)
        all_events.refill(now_milliseconds, burst=rates.global_events_burst, per_second=rates.global_events_per_second)
        if all_events.tokens < events:
            wait = (events - all_events.tokens) / rates.global_events_per_second
            requests.tokens -= 1
            return Allowance("global-events", remaining - 1, wait)
        self._current += 1
        requests.tokens -= 1
        own_events.tokens -= events
        all_events.tokens -= events
        return Allowance(None, int(requests.tokens))

    def _buckets_of(self, client: str, now_milliseconds: float) -> tuple[_Bucket, _Bucket]:
        """The client's requests and events, as they are now."""
        rates = self._rates
        found = self._clients.get(client)
        if found is None:
            found = _Bucket(rates.burst, now_milliseconds), _Bucket(rates.events_burst, now_milliseconds)
        requests, events = found
        requests.refill(now_milliseconds, burst=rates.burst, per_second=rates.per_second)
        events.refill(now_milliseconds, burst=rates.events_burst, per_second=rates.events_per_second)
        self._clients[client] = found
        self._clients.move_to_end(client)
        if len(self._clients) > TRACKED_CLIENTS:
            self._clients.popitem(last=False)
        return requests, events

    def _turn_to(self, window: int) -> None:
        if window != self._window:
            self._previous = self._current if window == self._window + 1 else 0
            self._window, self._current = window, 0
