"""Admission: whether a request may come in, and which of its events are new.

One script call answers for a whole group of requests: rate limits over all replicas, idempotency, and the ledger's
entries of what is about to be sent. The same call carries what earlier groups left to do, so a group costs one round
trip. While Redis is away requests are limited by this process alone, nothing is known of copies (the store drops them),
and what belongs into the ledger waits here.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from enum import StrEnum
from secrets import token_hex
from typing import TYPE_CHECKING

import msgspec
import structlog
from redis.exceptions import RedisError

from cloudscale.cache import scripts
from cloudscale.circuit_breaker import CircuitOpenError
from cloudscale.limits.acknowledgements import Acknowledgements, LedgerEntry
from cloudscale.limits.rates import Allowance, Budget, LocalRates, Rates
from cloudscale.telemetry import metrics

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from cloudscale.cache.keys import Keys
    from cloudscale.circuit_breaker import CircuitBreaker
    from cloudscale.events.enrichment import Enriched
    from cloudscale.limits.rates import Holder, Limit, Sender

log = structlog.get_logger(__name__)

RELEASE_SECONDS = 0.5
"""Requests wait for the release of their reservations before they are refused, so it must not take long."""


class State(StrEnum):
    """What is known of one event by its names, in the words of the API and of the store."""

    NEW = "new"
    DUPLICATE = "duplicate"
    """It was accepted before."""
    CONFLICT = "conflict"
    """One of its names came with another payload."""


_NEW = (State.NEW,)
_STATES = (State.NEW, State.DUPLICATE, State.CONFLICT)
_LIMITS: tuple[Limit | None, ...] = (
    *(None, "client", "global", "client-events", "global-events"),
    *("key", "key-events", "tenant", "tenant-events"),
)
_HOLDERS: tuple[Holder, ...] = ("client", "key", "tenant")


class Limited(msgspec.Struct, frozen=True, gc=False):
    """A request that the limits refuse, whatever is in it."""

    allowance: Allowance


class Admitted(msgspec.Struct, frozen=True, gc=False):
    """A request that the limits let in, with the state of each of its events.

    ``first_ids`` holds for a duplicate the id that the first one was answered with, otherwise "". ``is_named`` is false
    when Redis was away, so that its ledger may not name the events.
    """

    allowance: Allowance
    states: Sequence[State]
    first_ids: Sequence[str]
    is_named: bool = True


class _Answer(msgspec.Struct, array_like=True, frozen=True, gc=False):
    limit: int
    remaining: int
    wait_milliseconds: float
    holder: int
    states: list[int] = []
    first_ids: list[str] = []


class _Requests(msgspec.Struct, frozen=True, gc=False):
    """Requests as the script wants them: flat lists, over all requests, all their events, and all names of those.

    ``names_of_events`` says how many names each event has; it is empty when each has one. So are ``keys`` and
    ``tenants`` when no request has one.
    """

    clients: list[str]
    keys: list[str]
    tenants: list[str]
    budgets: dict[str, Budget]
    counts: list[int]
    names_of_events: list[int]
    names: list[str]
    records: list[str]
    entries: list[str]


_NO_REQUESTS = _Requests([], [], [], {}, [], [], [], [], [])


class _Call(msgspec.Struct, frozen=True, gc=False):
    """The argument of ``admission.lua``, which reads it by the names of the fields."""

    now: int
    time_to_live: int
    rates: Rates
    entry: LedgerEntry
    requests: _Requests


class _Reservation(msgspec.Struct, frozen=True, gc=False):
    name: str
    record: str
    """Without the time."""
    field: str


class _Release(msgspec.Struct, frozen=True, gc=False):
    """The argument of ``release.lua``."""

    span_milliseconds: float
    reservations: list[_Reservation]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[_Answer]).decode


class Admission:
    """Limits and reservations of one process, shared with the others through Redis."""

    def __init__(
        self,
        redis: Redis,
        *,
        keys: Keys,
        rates: Rates,
        idempotency_ms: int,
        breaker: CircuitBreaker,
        acknowledgements: Acknowledgements | None = None,
    ) -> None:
        self._redis = redis
        # Restarts and replicas number their entries on their own.
        applied = keys.applied + token_hex(8)
        self._keys = [keys.inflight, keys.ledger, keys.idempotency, keys.client, keys.global_window, applied]
        self._keys.append(keys.unnamed_ended)
        self._inflight, self._idempotency = keys.inflight, keys.idempotency
        self._rates = rates
        self._local = LocalRates(rates)
        self._ttl = idempotency_ms
        self._breaker = breaker
        self._script = scripts.register(redis, "cloudscale.limits", "admission", counts=True)
        self._release = scripts.register(redis, "cloudscale.limits", "release")
        self._is_away = False
        self._acknowledgements = Acknowledgements() if acknowledgements is None else acknowledgements
        self._turn = asyncio.Lock()

    @property
    def has_commits(self) -> bool:
        """Whether acknowledged events wait to be entered in the ledger."""
        return bool(self._acknowledgements)

    async def admit(self, requests: Sequence[tuple[Sender, Sequence[Enriched]]]) -> list[Admitted | Limited]:
        """Decide on requests, each with its sender and the events that it brings (none if it is refused anyway).

        Redis being away is no error: the verdicts are then this process's own.
        """
        now = int(time.time() * 1000)
        answers = await self._call(now, _wire(requests, now))
        if answers is None:
            return [self._decide_locally(sender, events, now=now) for sender, events in requests]
        return [_verdict_of(answer, events) for answer, (_, events) in zip(answers, requests, strict=True)]

    def commit(self, events: Sequence[Enriched]) -> None:
        """Note that the broker has acknowledged ``events``; the next call writes it down."""
        self._acknowledgements.note(events)

    async def release(self, events: Sequence[Enriched]) -> None:
        """Take back the reservations of events that were not sent, so that a retry is not mistaken for a copy.

        Never raises and takes half a second at most: the requests that wait for it are refused anyway.
        """
        if not events or self._breaker.state == "open":
            return
        reservations = [
            _Reservation(name, event.payload_hash + event.field, event.field)
            for event in events
            for name in event.names
        ]
        argument = _encode(_Release(self._ttl / 2, reservations))
        try:
            async with asyncio.timeout(RELEASE_SECONDS):
                await self._release(keys=[self._inflight, self._idempotency], args=[argument])
        except (RedisError, OSError, TimeoutError) as error:
            # The reservations stay marked as reserved, and a retry of one is treated as new.
            self._breaker.record_failure(error)
            log.warning("reservations are not released: Redis cannot be reached", events=len(events), error=str(error))

    async def flush(self) -> None:
        """Write down what the broker has acknowledged, when no group comes that would carry it."""
        while self.has_commits:
            if await self._call(int(time.time() * 1000), _NO_REQUESTS) is None:
                return

    async def _call(self, now: int, wire: _Requests) -> list[_Answer] | None:
        # One call at a time: numbers tell entries apart only in their order, and a call that overtook the one that
        # writes an acknowledgement down would take a copy of that event for new.
        async with self._turn:
            return await self._call_in_turn(now, wire)

    async def _call_in_turn(self, now: int, wire: _Requests) -> list[_Answer] | None:
        try:
            self._breaker.before_call()
        except CircuitOpenError:
            metrics.CACHE_AVAILABLE.set(0)
            return None
        argument = _encode(_Call(now, self._ttl, self._rates, self._acknowledgements.next_entry(), wire))
        try:
            answers = _decode(await self._evaluate(argument))
        except (RedisError, OSError, TimeoutError) as error:
            self._breaker.record_failure(error)
            metrics.CACHE_AVAILABLE.set(0)
            write = log.debug if self._is_away else log.warning
            write("requests are limited by this process alone: Redis cannot be reached", error=str(error))
            self._is_away = True
            return None
        given_up = self._acknowledgements.confirm()
        if self._is_away:
            self._is_away = False
            log.info("Redis is reached again", ledger_entries_given_up=given_up)
        self._breaker.record_success()
        metrics.CACHE_AVAILABLE.set(1)
        return answers

    async def _evaluate(self, argument: bytes) -> bytes:
        answer: bytes = await self._script(keys=self._keys, args=[argument])
        return answer

    def _decide_locally(self, sender: Sender, events: Sequence[Enriched], *, now: int) -> Admitted | Limited:
        allowance = self._local.admit(sender, len(events), now_milliseconds=now)
        if allowance.refused_by is not None:
            return Limited(allowance)
        return _all_new(allowance, events, is_named=False)


def _wire(requests: Sequence[tuple[Sender, Sequence[Enriched]]], now: int) -> _Requests:
    names: list[str] = []
    records: list[str] = []
    entries: list[str] = []
    names_of_events: list[int] = []
    time_of_record, mark = f"{now:013d}", f"p{now}"
    for _, events in requests:
        for event in events:
            field = event.field
            record = time_of_record + event.payload_hash + field
            names += event.names
            names_of_events.append(len(event.names))
            for name in event.names:
                records += (name, record)
            entries += (field, mark)
    if len(names) == len(names_of_events):
        names_of_events = []
    senders = [sender for sender, _ in requests]
    keys = [sender.key for sender in senders] if any(sender.key for sender in senders) else []
    tenants = [sender.tenant for sender in senders] if any(sender.tenant for sender in senders) else []
    return _Requests(
        [sender.client for sender in senders],
        keys,
        tenants,
        {
            **{sender.tenant: sender.tenant_budget for sender in senders if sender.tenant_budget is not None},
            **{f"key {sender.key}": sender.key_budget for sender in senders if sender.key_budget is not None},
        },
        [len(events) for _, events in requests],
        *(names_of_events, names, records, entries),
    )


def _verdict_of(answer: _Answer, events: Sequence[Enriched]) -> Admitted | Limited:
    allowance = Allowance(
        _LIMITS[answer.limit], answer.remaining, answer.wait_milliseconds / 1000, _HOLDERS[answer.holder]
    )
    if allowance.refused_by is not None:
        return Limited(allowance)
    if not answer.states:
        return _all_new(allowance, events)
    return Admitted(allowance, [_STATES[state] for state in answer.states], answer.first_ids)


def _all_new(allowance: Allowance, events: Sequence[Enriched], *, is_named: bool = True) -> Admitted:
    return Admitted(allowance, _NEW * len(events), ("",) * len(events), is_named)
