"""What a client is told of its events."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from cloudscale.circuit_breaker import CircuitOpenError
from cloudscale.ingestion.problems import Headers, Kind, Problem, render
from cloudscale.limits.admission import State

if TYPE_CHECKING:
    from cloudscale.errors import BackendError
    from cloudscale.events.enrichment import Enriched
    from cloudscale.ingestion.group_commit import Committed
    from cloudscale.limits.rates import Allowance, Budget, Holder, Rates, Sender

JSON_HEADER = ("content-type", "application/json")
RETRY_SECONDS = 1.0

_encode = msgspec.json.Encoder().encode


class Answer(msgspec.Struct, frozen=True, gc=False):
    """An HTTP response."""

    status: int
    headers: Headers
    body: bytes


class Acknowledgement(msgspec.Struct, frozen=True, gc=False, rename="camel", omit_defaults=True):
    """The body of a 202, or of a 200 for a copy."""

    id: str
    correlation_id: str
    duplicate: bool = False


class BatchItem(msgspec.Struct, frozen=True, gc=False, rename="camel", omit_defaults=True):
    """What became of one event of a batch; ``problem`` is set unless it was accepted."""

    index: int
    status: int
    id: str = ""
    correlation_id: str = ""
    duplicate: bool = False
    problem: dict[str, Any] | None = None


class BatchResult(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """The body of a batch's 202 or 207."""

    accepted: int
    duplicates: int
    rejected: int
    results: Sequence[BatchItem]


def rate_headers(allowance: Allowance, rates: Rates, sender: Sender) -> Headers:
    """A sender's budget, named as in draft-ietf-httpapi-ratelimit-headers-06: limit, remaining, seconds to full.

    The policy says whose budget has the fewest requests left: the address's, the key's or the tenant's.
    """
    budget = _budget_of(allowance.holder, rates, sender)
    reset = math.ceil(max(allowance.retry_after_seconds, (budget.burst - allowance.remaining) / budget.per_second))
    return [
        ("ratelimit-limit", str(budget.burst)),
        ("ratelimit-remaining", str(allowance.remaining)),
        ("ratelimit-reset", str(reset)),
        (
            "ratelimit-policy",
            f'{budget.burst};w={max(1, math.ceil(budget.burst / budget.per_second))};comment="{allowance.holder}"',
        ),
    ]


def rate_limited(allowance: Allowance, rates: Rates, sender: Sender) -> Problem:
    """The problem of a request that the limits refuse."""
    field, limit = _limit_of(allowance, rates, sender)
    return Problem(
        Kind.RATE_LIMITED,
        f"{limit}: wait, or raise {field}",
        f"limit-{allowance.refused_by}",
        retry_after_seconds=max(1.0, allowance.retry_after_seconds),
    )


def _budget_of(holder: Holder, rates: Rates, sender: Sender) -> Budget:
    if holder == "client":
        return rates.client
    return sender.key_budget or rates.key if holder == "key" else sender.tenant_budget or rates.tenant


def _limit_of(allowance: Allowance, rates: Rates, sender: Sender) -> tuple[str, str]:
    """What sets the limit that refuses a request, and what it says."""
    fields = "spec.ingestion.rateLimits"
    limit = allowance.refused_by
    if limit == "global-events":
        text = f"{rates.global_events_burst} events at once and {rates.global_events_per_second:g} a second"
        return f"{fields}.global", f"all senders together may send {text}"
    if limit is None or limit == "global":
        text = f"{rates.window_limit} requests in {rates.window_milliseconds / 1000:g} s"
        return f"{fields}.global", f"all senders together may send {text} (a batch is one request)"
    kind, _, counted = limit.partition("-")
    who, field, budget = {
        "client": ("one client", f"{fields}.perClient", rates.client),
        "key": (f"the key {sender.key}", f"{fields}.perKey", sender.key_budget or rates.key),
        "tenant": (f"the tenant {sender.tenant}", f"{fields}.perTenant", sender.tenant_budget or rates.tenant),
    }[kind]
    if kind == "tenant" and sender.tenant_budget is not None:
        field = "its quota (cloudscale tenants change)"
    if kind == "key" and sender.key_budget is not None:
        field = "what it was created with (cloudscale keys create --requests-per-second)"
    if counted == "events":
        text = f"{budget.events_burst} events at once and {budget.events_per_second:g} a second"
        return field, f"{who} may send {text}"
    text = f"{budget.burst} requests at once and {budget.per_second:g} a second"
    return field, f"{who} may send {text} (a batch is one request)"


def unavailable(detail: str, reason: str, retry_after_seconds: float = RETRY_SECONDS) -> Problem:
    """The problem of an event that is not called accepted now; ``detail`` is for the client, who cannot mend a backend.

    Only where the broker was asked and has not answered may the event be in the queue all the same.
    """
    return Problem(Kind.UNAVAILABLE, detail, reason, retry_after_seconds=max(RETRY_SECONDS, retry_after_seconds))


def refusal(problem: Problem, *, correlation_id: str, instance: str, extra: Headers | None = None) -> Answer:
    """The answer to a refused request."""
    headers = [*problem.headers(), ("x-correlation-id", correlation_id), *(extra or ())]
    return Answer(problem.status, headers, render(problem, correlation_id=correlation_id, instance=instance))


def problem_of(state: State, first_id: str, outcome: Committed) -> Problem | None:
    """The problem of one event after its group, or None if it was accepted."""
    if state is State.DUPLICATE:
        return Problem(
            Kind.DUPLICATE, "this event was accepted before: nothing has to be done", "duplicate", event_id=first_id
        )
    if state is State.CONFLICT:
        return Problem(
            Kind.CONFLICT,
            "the same key, event id, or source and id came with another payload: use new ones for a new event",
            "conflict",
        )
    if outcome.failure is not None:
        return broker_unavailable(outcome.failure)
    return None


def broker_unavailable(failure: BackendError) -> Problem:
    """The problem of events that the broker has not acknowledged. What the broker or its SDK says is for the log."""
    if isinstance(failure, CircuitOpenError):
        detail = "the queue has failed too often, so no call is made at present: send the request again later"
        return unavailable(detail, "broker", failure.retry_after_seconds)
    # A connection that breaks may have carried the event, just as one whose answer comes too late.
    detail = "the queue has not confirmed what was sent, which may be kept or not: send it again under the same name"
    return unavailable(detail, "broker")


def accepted(event: Enriched, *, correlation_id: str, extra: Headers) -> Answer:
    """The 202 of one event."""
    body = _encode(Acknowledgement(event.event_id, event.correlation_id))
    return Answer(202, [JSON_HEADER, ("x-correlation-id", correlation_id), *extra], body)


def skipped(first_id: str, *, correlation_id: str, extra: Headers) -> Answer:
    """The 200 of a copy, where the resource says that copies are skipped."""
    body = _encode(Acknowledgement(first_id, correlation_id, duplicate=True))
    return Answer(200, [JSON_HEADER, ("x-correlation-id", correlation_id), *extra], body)


def batch_answer(items: Sequence[BatchItem], *, correlation_id: str, extra: Headers) -> Answer:
    """202 when every event was accepted or skipped, otherwise 207."""
    duplicates = sum(item.duplicate for item in items)
    good = sum(item.status in (200, 202) for item in items)
    result = BatchResult(
        accepted=sum(item.status == 202 for item in items),
        duplicates=duplicates,
        rejected=len(items) - good - sum(item.status == 409 for item in items),
        results=items,
    )
    status = 202 if good == len(items) else 207
    return Answer(status, [JSON_HEADER, ("x-correlation-id", correlation_id), *extra], _encode(result))
