"""The two routes that take events: one event a request, or a batch.

The order of the checks is fixed: client address, key or token, rate limits, correlation id, size and content type,
validation, enrichment, idempotency, group commit. Limits and idempotency share one call to Redis, so a request that is
refused for its content still goes through it, without events: whoever is over the limit gets 429, whatever was sent. A
sender that is known to be over it, and one that nobody knows, get their answer before anything of the request is read.
"""

from __future__ import annotations

import time
from collections import Counter
from secrets import token_hex
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import msgspec

from cloudscale.errors import BackendError, CloudScaleError
from cloudscale.ingestion import answers
from cloudscale.ingestion.batch_items import items_of, once_by_name
from cloudscale.ingestion.callers import refusal_of
from cloudscale.ingestion.device_sightings import DeviceSightings
from cloudscale.ingestion.exhausted_senders import ExhaustedSenders
from cloudscale.ingestion.problems import Kind, Problem, Refused
from cloudscale.ingestion.refusals import Refusals
from cloudscale.ingestion.requests import correlation_id_of, origin_of, parse_batch, parse_event
from cloudscale.limits.admission import Limited, State
from cloudscale.limits.rates import rates_of
from cloudscale.telemetry import metrics

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from cloudscale.events.enrichment import Origin
    from cloudscale.events.types import EventTypes
    from cloudscale.ingestion.answers import Answer
    from cloudscale.ingestion.group_commit import GroupCommit
    from cloudscale.ingestion.problems import Headers
    from cloudscale.ingestion.queue_depth import RecentQueueDepth
    from cloudscale.ingestion.requests import Request
    from cloudscale.pipeline import Ingestion
    from cloudscale.telemetry.tracing import RequestTrace, Tracing

    Take = Callable[[Request, bytes, Origin, RequestTrace | None], Awaitable[Answer]]

NO_TENANT: Final = MappingProxyType({"": 1})
TENANTS_OF_REQUEST = 20
"""Of a batch that a limit refuses, so many are counted."""

SINGLE_PATHS = frozenset({"/api/events", "/api/v1/events"})
BATCH_PATHS = frozenset({"/api/events/batch", "/api/v1/events/batch"})


class Intake:
    """Answers requests with events."""

    def __init__(
        self,
        groups: GroupCommit,
        *,
        depth: RecentQueueDepth,
        spec: Ingestion,
        types: EventTypes,
        buckets: int,
        tracing: Tracing | None = None,
    ) -> None:
        self.refusals = Refusals()
        """What was refused since it was last written."""
        self.devices = DeviceSightings()
        """Which devices have sent since it was last written."""
        self._groups = groups
        self._types = types
        self._buckets = buckets
        self._rates = rates_of(spec.rate_limits)
        self._in_flight_limit = spec.shed_above.in_flight
        self._depth_limit = spec.shed_above.queue_depth
        self._skips = spec.idempotency.on_duplicate == "Skip"
        self._tracing = tracing
        self._depth = depth
        self._exhausted = ExhaustedSenders()
        self.draining = False

    def overloaded(self, path: str) -> Answer | None:
        """An immediate 503 when too much is waiting already, decided before the body is read."""
        if self.draining:
            problem = answers.unavailable("this replica is stopping: send the event again", "draining")
        elif self._groups.in_flight >= self._in_flight_limit:
            problem = answers.unavailable(
                f"{self._in_flight_limit} requests are waiting already: send the event again later", "in-flight"
            )
        elif self._depth.events > self._depth_limit:
            problem = answers.unavailable(
                f"the queue holds {self._depth.events} events, more than {self._depth_limit}: "
                "send the event again later",
                "queue-depth",
                retry_after_seconds=5,
            )
        else:
            return None
        return self.shed(problem, path)

    def shed(self, problem: Problem, path: str) -> Answer:
        """The answer to a request that is not even looked at."""
        return self._unprocessed(problem, path, correlation_id=token_hex(16))

    def not_admitted(self, error: CloudScaleError | Refused, path: str, client: str) -> Answer:
        """The answer to a request of nobody who may send, decided before its events are looked at."""
        problem, challenge = refusal_of(error)
        correlation_id = token_hex(16)
        refusals = self.refusals.of_request(client, correlation_id=correlation_id)
        refusals.note(problem)
        return self._unprocessed(problem, path, correlation_id=correlation_id, extra=challenge)

    def failed(self, path: str, *, correlation_id: str) -> Answer:
        """The answer to a request that this program has tripped over."""
        problem = Problem(Kind.INTERNAL, "this is a mistake of the server: send the event again", "internal")
        return self._unprocessed(problem, path, correlation_id=correlation_id)

    def _unprocessed(self, problem: Problem, path: str, *, correlation_id: str, extra: Headers | None = None) -> Answer:
        metrics.REJECTIONS.labels(problem.reason).inc()
        metrics.count_response(problem.status)
        return answers.refusal(problem, correlation_id=correlation_id, instance=path, extra=extra)

    async def post_event(self, request: Request, read: Callable[[], Awaitable[bytes]]) -> Answer:
        """Answer a request with one event; ``read`` gets its body."""
        return await self._answered(request, read, self._take_event)

    async def post_batch(self, request: Request, read: Callable[[], Awaitable[bytes]]) -> Answer:
        """Answer a request with many events; ``read`` gets its body."""
        return await self._answered(request, read, self._take_batch)

    async def _answered(self, request: Request, read: Callable[[], Awaitable[bytes]], take: Take) -> Answer:
        correlation_id = ""
        trace: RequestTrace | None = None
        try:
            correlation_id = correlation_id_of(request)
            origin = origin_of(request, correlation_id)
            if self._tracing is not None:
                trace = self._tracing.begin_request(request.path, origin.traceparent)
                origin = msgspec.structs.replace(origin, traceparent=trace.traceparent if trace else None)
            answer = self._exhausted_answer(request, correlation_id=correlation_id)
            if answer is None:
                answer = await take(request, await read(), origin, trace)
        except Refused as refused:
            answer = await self._refused(request, refused.problem, correlation_id=correlation_id)
        except BackendError as error:
            # The breaker or the group has logged it.
            answer = self._refusal(answers.broker_unavailable(error), request, correlation_id=correlation_id)
        except CloudScaleError as error:
            answer = self._refusal(answers.unavailable(str(error), "stopping"), request, correlation_id=correlation_id)
        metrics.count_response(answer.status)
        if trace is not None:
            trace.end(status_code=answer.status)
        return answer

    def turned_away(self, request: Request) -> Answer | None:
        """The 429 of a client that is known to have no token, for a request whose sender is in its body."""
        answer = self._exhausted_answer(request, correlation_id=token_hex(16))
        if answer is not None:
            metrics.count_response(answer.status)
        return answer

    def _exhausted_answer(self, request: Request, *, correlation_id: str) -> Answer | None:
        """The 429 of a client that is known to have no token, decided before its body is read."""
        allowance = self._exhausted.refusal_of(request.sender, now_seconds=request.arrived_at)
        if allowance is None:
            return None
        metrics.RATE_LIMIT_REJECTIONS.labels(allowance.refused_by).inc()
        extra = answers.rate_headers(allowance, self._rates, request.sender)
        problem = answers.rate_limited(allowance, self._rates, request.sender)
        tenant_id = request.caller.tenant_id if request.caller is not None else ""
        self.refusals.of_request(request.client, correlation_id=correlation_id).note(problem, tenant_id=tenant_id)
        return self._refusal(problem, request, correlation_id=correlation_id, extra=extra)

    async def _refused(self, request: Request, problem: Problem, *, correlation_id: str) -> Answer:
        """Refuse a request for its content; it still counts against the limits, and their answer comes first."""
        correlation_id = correlation_id or token_hex(16)
        try:
            outcome = await self._groups.submit(request.sender, (), arrived_at=request.arrived_at)
        except CloudScaleError:
            return self._refusal(problem, request, correlation_id=correlation_id)
        if isinstance(outcome, Limited):
            return self._limited(request, outcome, correlation_id=correlation_id)
        refusals = self.refusals.of_request(request.client, correlation_id=correlation_id)
        refusals.note(problem)
        refusals.write_log()
        extra = answers.rate_headers(outcome.allowance, self._rates, request.sender)
        return self._refusal(problem, request, correlation_id=correlation_id, extra=extra)

    def _refusal(
        self, problem: Problem, request: Request, *, correlation_id: str, extra: Headers | None = None
    ) -> Answer:
        if problem.kind not in (Kind.DUPLICATE, Kind.RATE_LIMITED):
            metrics.REJECTIONS.labels(problem.reason).inc()
        return answers.refusal(
            problem, correlation_id=correlation_id or token_hex(16), instance=request.path, extra=extra
        )

    def _limited(
        self, request: Request, outcome: Limited, *, correlation_id: str, tenants: Mapping[str, int] = NO_TENANT
    ) -> Answer:
        """The 429 of a request; ``tenants`` has the number of its events of each, as far as they were read."""
        metrics.RATE_LIMIT_REJECTIONS.labels(outcome.allowance.refused_by).inc()
        self._exhausted.note(request.sender, outcome.allowance, now_seconds=time.perf_counter())
        problem = answers.rate_limited(outcome.allowance, self._rates, request.sender)
        refusals = self.refusals.of_request(request.client, correlation_id=correlation_id)
        for tenant_id, events in tenants.items():
            refusals.note(problem, tenant_id=tenant_id, count=events)
        extra = answers.rate_headers(outcome.allowance, self._rates, request.sender)
        return self._refusal(problem, request, correlation_id=correlation_id, extra=extra)

    async def _take_event(self, request: Request, body: bytes, origin: Origin, trace: RequestTrace | None) -> Answer:
        event = parse_event(request, body, origin=origin, types=self._types, buckets=self._buckets)
        # The event's own id stands in for a header that was not sent, so that client and log speak of the same thing.
        correlation_id = origin.correlation_id if request.has("x-correlation-id") else event.correlation_id
        outcome = await self._groups.submit(request.sender, (event,), arrived_at=request.arrived_at)
        if isinstance(outcome, Limited):
            return self._limited(request, outcome, correlation_id=correlation_id, tenants={event.tenant_id: 1})
        if trace is not None and outcome.published:
            trace.published(events=1)
        extra = answers.rate_headers(outcome.allowance, self._rates, request.sender)
        state, first_id = outcome.states[0], outcome.first_ids[0]
        if state is State.DUPLICATE:
            metrics.DUPLICATES.labels("ingestion").inc()
            if self._skips:
                return answers.skipped(first_id, correlation_id=correlation_id, extra=extra)
        problem = answers.problem_of(state, first_id, outcome)
        if problem is None:
            if request.caller is not None and request.caller.device_id is not None:
                self.devices.note(request.caller, event)
            return answers.accepted(event, correlation_id=correlation_id, extra=extra)
        refusals = self.refusals.of_request(request.client, correlation_id=correlation_id)
        refusals.note(problem, tenant_id=event.tenant_id, content=event.body)
        refusals.write_log(event_id=event.event_id)
        return self._refusal(problem, request, correlation_id=correlation_id, extra=extra)

    async def _take_batch(self, request: Request, body: bytes, origin: Origin, trace: RequestTrace | None) -> Answer:
        parsed = parse_batch(request, body, origin=origin, types=self._types, buckets=self._buckets)
        unique = once_by_name(parsed)
        outcome = await self._groups.submit(request.sender, unique, arrived_at=request.arrived_at)
        if isinstance(outcome, Limited):
            tenants = dict(Counter(each.tenant_id for each in unique).most_common(TENANTS_OF_REQUEST))
            return self._limited(request, outcome, correlation_id=origin.correlation_id, tenants=tenants or NO_TENANT)
        if trace is not None and outcome.published:
            trace.published(events=outcome.published)
        extra = answers.rate_headers(outcome.allowance, self._rates, request.sender)
        if outcome.failure is not None and State.DUPLICATE not in outcome.states:
            problem = answers.broker_unavailable(outcome.failure)
            return self._refusal(problem, request, correlation_id=origin.correlation_id, extra=extra)
        if request.caller is not None and request.caller.device_id is not None and outcome.failure is None:
            for event, state in zip(unique, outcome.states, strict=True):
                if state is State.NEW:
                    self.devices.note(request.caller, event)
        refusals = self.refusals.of_request(request.client, correlation_id=origin.correlation_id)
        items = items_of(parsed, unique, outcome, refusals=refusals, skips=self._skips)
        return answers.batch_answer(items, correlation_id=origin.correlation_id, extra=extra)
