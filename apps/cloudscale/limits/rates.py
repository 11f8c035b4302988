"""Rate limits as pure arithmetic.

Each client, each key and each tenant has a bucket of requests and one of events; all together have a sliding window of
requests and a bucket of events. A request is let in if all of them have enough for it.

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
    from collections.abc import Sequence

    from cloudscale.pipeline import RateLimits

TRACKED_SENDERS = 100_000

UNLIMITED = 10**9


class Budget(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Two buckets of one sender: so many requests and events at once, and so many a second for long."""

    burst: int
    per_second: float
    events_burst: int = UNLIMITED
    events_per_second: float = UNLIMITED


class Rates(msgspec.Struct, frozen=True):
    """The limits of one pipeline: of every address, key and tenant, and of all requests and events together."""

    client: Budget
    window_limit: int
    window_milliseconds: int
    key: Budget = Budget(UNLIMITED, UNLIMITED)
    tenant: Budget = Budget(UNLIMITED, UNLIMITED)
    global_events_burst: int = UNLIMITED
    global_events_per_second: float = UNLIMITED


def rates_of(limits: RateLimits) -> Rates:
    """The limits that the resource sets, with the window in milliseconds."""
    client, key, tenant = limits.per_client, limits.per_key, limits.per_tenant
    return Rates(
        client=Budget(client.burst, client.per_second, client.events_burst, client.events_per_second),
        key=Budget(key.burst, key.per_second),
        tenant=Budget(tenant.burst, tenant.per_second, tenant.events_burst, tenant.events_per_second),
        window_limit=limits.global_.limit,
        window_milliseconds=round(parse_duration(limits.global_.window).total_seconds() * 1000),
        global_events_burst=limits.global_.events_burst,
        global_events_per_second=limits.global_.events_per_second,
    )


class Sender(msgspec.Struct, frozen=True, gc=False):
    """Whom a request is counted for. What is empty is not limited by.

    ``client`` is an address or network, ``key`` the name of a caller, ``tenant`` the caller's tenant; these two with
    the budgets that they have of their own, if they have any.
    """

    client: str
    key: str = ""
    tenant: str = ""
    tenant_budget: Budget | None = None
    key_budget: Budget | None = None


Limit = Literal["client", "client-events", "key", "key-events", "tenant", "tenant-events", "global", "global-events"]
"""Which limit refuses a request: requests or events of one client, one key, one tenant, or of all."""


Holder = Literal["client", "key", "tenant"]
"""Whose bucket it is."""


class Allowance(msgspec.Struct, frozen=True, gc=False):
    """What the limits say to one request: the limit that refuses it, if one does, and how many requests are left.

    ``remaining`` is of the bucket with the fewest requests, which is the ``holder``'s.
    """

    refused_by: Limit | None
    remaining: int
    retry_after_seconds: float = 0.0
    holder: Holder = "client"


class _Bucket(msgspec.Struct):
    """Tokens that come back at a steady rate."""

    tokens: float
    at_milliseconds: float

    def refill(self, now_milliseconds: float, *, burst: float, per_second: float) -> None:
        passed = max(0.0, now_milliseconds - self.at_milliseconds)
        self.tokens = min(burst, self.tokens + passed * per_second / 1000)
        self.at_milliseconds = now_milliseconds


class _Buckets(msgspec.Struct):
    """One holder's requests and events that are left."""

    holder: Holder
    budget: Budget
    requests: _Bucket
    events: _Bucket


class LocalRates:
    """The limits of one process, with the clock given by the caller in milliseconds."""

    def __init__(self, rates: Rates) -> None:
        self._rates = rates
        self._senders: OrderedDict[str, _Buckets] = OrderedDict()
        self._events: _Bucket | None = None
        self._window = 0
        self._current = 0
        self._previous = 0

    def admit(self, sender: Sender, events: int = 0, *, now_milliseconds: float) -> Allowance:
        """Take the tokens of one request with so many events, if all limits allow it."""
        rates = self._rates
        buckets = self._buckets_of(sender, now_milliseconds)
        for each in buckets:
            if each.requests.tokens < 1:
                wait = (1 - each.requests.tokens) / each.budget.per_second
                return Allowance(each.holder, 0, wait, each.holder)
        for each in buckets:
            if each.events.tokens < events:
                wait = (events - each.events.tokens) / each.budget.events_per_second
                return self._refused_for_its_events(buckets, _EVENTS_OF[each.holder], wait)

        self._turn_to(int(now_milliseconds // rates.window_milliseconds))
        elapsed = now_milliseconds % rates.window_milliseconds
        estimate = self._previous * (1 - elapsed / rates.window_milliseconds) + self._current
        if estimate + 1 > rates.window_limit:
            remaining, holder = _fewest(buckets)
            return Allowance("global", remaining, (rates.window_milliseconds - elapsed) / 1000, holder)
        all_events = self._events = self._events or _Bucket(rates.global_events_burst, now_milliseconds)
        all_events.refill(now_milliseconds, burst=rates.global_events_burst, per_second=rates.global_events_per_second)
        if all_events.tokens < events:
            wait = (events - all_events.tokens) / rates.global_events_per_second
            return self._refused_for_its_events(buckets, "global-events", wait)
        self._current += 1
        all_events.tokens -= events
        for each in buckets:
            each.requests.tokens -= 1
            each.events.tokens -= events
        remaining, holder = _fewest(buckets)
        return Allowance(None, remaining, 0.0, holder)

    def _refused_for_its_events(self, buckets: Sequence[_Buckets], limit: Limit, wait_seconds: float) -> Allowance:
        """A request was read before its events could be counted, so it costs a request: of many, most are unread."""
        for each in buckets:
            each.requests.tokens -= 1
        remaining, holder = _fewest(buckets)
        return Allowance(limit, remaining, wait_seconds, holder)

    def _buckets_of(self, sender: Sender, now_milliseconds: float) -> list[_Buckets]:
        """The buckets of a sender's address, key and tenant, as they are now."""
        found = []
        budgets = {"client": self._rates.client, "key": sender.key_budget or self._rates.key}
        budgets["tenant"] = sender.tenant_budget or self._rates.tenant
        for holder, name in bucket_names(sender):
            budget = budgets[holder]
            buckets = self._senders.get(name)
            if buckets is None:
                buckets = self._senders[name] = _Buckets(
                    holder,
                    budget,
                    _Bucket(budget.burst, now_milliseconds),
                    _Bucket(budget.events_burst, now_milliseconds),
                )
                if len(self._senders) > TRACKED_SENDERS:
                    self._senders.popitem(last=False)
            buckets.budget = budget
            buckets.requests.refill(now_milliseconds, burst=budget.burst, per_second=budget.per_second)
            buckets.events.refill(now_milliseconds, burst=budget.events_burst, per_second=budget.events_per_second)
            self._senders.move_to_end(name)
            found.append(buckets)
        return found

    def _turn_to(self, window: int) -> None:
        if window != self._window:
            self._previous = self._current if window == self._window + 1 else 0
            self._window, self._current = window, 0


_EVENTS_OF: dict[Holder, Limit] = {"client": "client-events", "key": "key-events", "tenant": "tenant-events"}


def bucket_names(sender: Sender) -> list[tuple[Holder, str]]:
    """Whose buckets a sender's requests are taken from, and under which names."""
    # No address has a space, so nobody is taken for somebody else.
    names: list[tuple[Holder, str]] = []
    if sender.client:
        names.append(("client", sender.client))
    if sender.key:
        names.append(("key", f"key {sender.key}"))
    if sender.tenant:
        names.append(("tenant", f"tenant {sender.tenant}"))
    return names


def _fewest(buckets: Sequence[_Buckets]) -> tuple[int, Holder]:
    """The requests that are left at the least, and whose."""
    if not buckets:
        return UNLIMITED, "client"
    least = min(buckets, key=lambda each: each.requests.tokens)
    return int(least.requests.tokens), least.holder
