"""The script's reservations against a model of them: an event is reserved under each of its names, or under none."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloudscale.cache.keys import Keys
from cloudscale.circuit_breaker import CircuitBreaker
from cloudscale.events.enrichment import Enriched, Origin, enrich
from cloudscale.events.types import EventTypes
from cloudscale.limits import admission as module
from cloudscale.limits.admission import Admission, State
from cloudscale.limits.rates import Budget, Rates, Sender

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redis.asyncio import Redis


KEYS = Keys(namespace="default", name="reservations")
TIME_TO_LIVE_MS = 600_000
START_MS = 1_700_000_000_000
TYPES = EventTypes()
# One client may send a few requests only, so that some of the requests in a call are refused.
RATES = Rates(client=Budget(3, 0.001), window_limit=10**6, window_milliseconds=60_000)


def event(event_id: str, key: str | None, source_id: str | None, payload: str) -> Enriched:
    document = {"eventType": "page_view", "tenantId": "acme", "eventId": event_id, "url": payload}
    return enrich(document, TYPES.check(document), Origin("", "c", datetime.now(UTC), key, None, source_id))


@dataclass
class Model:
    """What Redis has to know: who holds each name since when, and which acceptances nobody has been told of."""

    holders: dict[str, tuple[int, Enriched]] = field(default_factory=dict)
    reserved: set[str] = field(default_factory=set)

    def admit(self, events: Sequence[Enriched], now: int) -> list[tuple[State, str]]:
        """The states of the events of a call, each judged by what was known before it."""
        judged = [self._judge(each, now) for each in events]
        for each, (state, _) in zip(events, judged, strict=True):
            if state == "new":
                self.holders.update((name, (now, each)) for name in each.names)
                self.reserved.add(each.field)
        return judged

    def _judge(self, event: Enriched, now: int) -> tuple[State, str]:
        known = [self.holders[name] for name in event.names if name in self.holders]
        holders = [holder for since, holder in known if now - since < TIME_TO_LIVE_MS]
        if any(holder.payload_hash != event.payload_hash for holder in holders):
            return State.CONFLICT, ""
        told = [holder for holder in holders if holder.field not in self.reserved]
        return (State.DUPLICATE, told[0].event_id) if told else (State.NEW, "")

    def commit(self, event: Enriched) -> None:
        """The broker has acknowledged it."""
        self.reserved.discard(event.field)

    def release(self, event: Enriched) -> None:
        """It was not sent."""
        for name in event.names:
            if name in self.holders and self.holders[name][1].field == event.field:
                del self.holders[name]
        self.reserved.discard(event.field)


events = st.builds(
    event,
    st.sampled_from(["a", "b", "c"]),
    st.sampled_from([None, None, "a", "b", "e:a"]),
    st.sampled_from([None, None, "a", "b"]),
    st.sampled_from(["https://x.example/", "https://y.example/"]),
)
calls = st.tuples(
    st.sampled_from([0, 1, TIME_TO_LIVE_MS // 2, TIME_TO_LIVE_MS]),
    st.lists(st.tuples(st.sampled_from(["one", "other"]), st.lists(events, max_size=4)), min_size=1, max_size=3),
    st.lists(st.sampled_from(["commit", "release", "die"]), min_size=12, max_size=12),
)


@given(turns=st.lists(calls, max_size=12))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_the_script_reserves_as_the_model_does(
    redis: Redis,
    turns: list[tuple[int, list[tuple[str, list[Enriched]]], list[str]]],
) -> None:
    await redis.flushall()
    second = timedelta(seconds=1)
    breaker = CircuitBreaker(failure_ratio=0.5, window=second, minimum_calls=1, open_for=second)
    admission = Admission(redis, keys=KEYS, rates=RATES, idempotency_ms=TIME_TO_LIVE_MS, breaker=breaker)
    model, now = Model(), START_MS
    for turn, (pause, drawn, fates) in enumerate(turns):
        now += pause
        # Drawn events stand for what clients send; each acceptance is one of its own.
        requests = [
            (Sender(f"{address}-{turn // 4}"), [_accepted_anew(each) for each in drawn_events])
            for address, drawn_events in drawn
        ]
        answers = await admission._call(now, module._wire(requests, now))
        assert answers is not None
        verdicts = [module._verdict_of(answer, sent) for answer, (_, sent) in zip(answers, requests, strict=True)]
        admitted = [
            (sent, verdict)
            for (_, sent), verdict in zip(requests, verdicts, strict=True)
            if isinstance(verdict, module.Admitted)
        ]
        flat = [each for sent, _ in admitted for each in sent]
        told = [outcome for _, verdict in admitted for outcome in zip(verdict.states, verdict.first_ids, strict=True)]
        assert told == model.admit(flat, now)
        new = [each for each, (state, _) in zip(flat, told, strict=True) if state == "new"]
        for each, fate in zip(new, fates, strict=False):
            if fate == "commit":
                admission.commit([each])
                model.commit(each)
            elif fate == "release":
                await admission.release([each])
                model.release(each)
        await admission.flush()
    known: set[str] = set()
    for hash_name in await redis.keys(KEYS.idempotency + "*"):
        known |= {name.decode() for name in await redis.hkeys(hash_name)}  # type: ignore[union-attr]
    assert known == set(model.holders)


def _accepted_anew(drawn: Enriched) -> Enriched:
    document = {name: drawn.document[name] for name in ("eventType", "tenantId", "eventId", "url")}
    names = {name.split(":", 2)[1]: name.split(":", 2)[2] for name in drawn.names}
    origin = Origin("", "c", datetime.now(UTC), names.get("k"), None, names.get("s"))
    return enrich(document, TYPES.check(document), origin)
