"""What became of each event of a batch."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from cloudscale.ingestion import answers
from cloudscale.ingestion.answers import BatchItem
from cloudscale.ingestion.problems import Kind, Problem
from cloudscale.limits.admission import State
from cloudscale.telemetry import metrics

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cloudscale.events.enrichment import Enriched
    from cloudscale.ingestion.group_commit import Committed
    from cloudscale.ingestion.refusals import RequestRefusals


def once_by_name(parsed: Sequence[Enriched | Problem]) -> list[Enriched]:
    """The good events, each name once: a batch may name the same event twice, and only the first is sent."""
    unique: list[Enriched] = []
    taken: set[str] = set()
    for event in parsed:
        if not isinstance(event, Problem) and taken.isdisjoint(event.names):
            taken.update(event.names)
            unique.append(event)
    return unique


def items_of(
    parsed: Sequence[Enriched | Problem],
    unique: Sequence[Enriched],
    outcome: Committed,
    *,
    refusals: RequestRefusals,
    skips: bool,
) -> list[BatchItem]:
    """The items of a batch's answer, counted and logged.

    Args:
        parsed: the events in their order, or the problem of each that is none.
        unique: those that were submitted, as :func:`once_by_name` gives them.
        outcome: what became of these.
        refusals: takes those that were refused.
        skips: whether a duplicate is skipped rather than refused.
    """
    first_ids = outcome.first_ids or [""] * len(unique)
    results = {
        name: (event, state, first_id)
        for event, state, first_id in zip(unique, outcome.states, first_ids, strict=True)
        for name in event.names
    }
    items, reasons = [], Counter[str]()
    for index, event in enumerate(parsed):
        if isinstance(event, Problem):
            item = BatchItem(index, event.status, problem=event.as_object(refusals.correlation_id))
            refusals.note(event)
            reasons[event.reason] += 1
        else:
            others = [results[name] for name in event.names if name in results]
            first, state, first_id = others[0]
            if any(event.payload_hash != other.payload_hash for other, _, _ in others):
                state = State.CONFLICT
            elif event is not first and state is State.NEW and outcome.failure is None:
                state, first_id = State.DUPLICATE, first.event_id
            problem = answers.problem_of(state, first_id, outcome)
            item = _item(index, event, problem, is_skipped=skips and state is State.DUPLICATE)
            if problem is not None and not (skips and state is State.DUPLICATE):
                refusals.note(problem, tenant_id=event.tenant_id, content=event.body)
            if problem is not None and state is not State.DUPLICATE:
                reasons[problem.reason] += 1
        items.append(item)
    copies = sum(item.duplicate for item in items)
    if copies:
        metrics.DUPLICATES.labels("ingestion").inc(copies)
    for reason, count in reasons.items():
        metrics.REJECTIONS.labels(reason).inc(count)
    refusals.write_log(of_batch=True)
    return items


def _item(index: int, event: Enriched, problem: Problem | None, *, is_skipped: bool) -> BatchItem:
    if problem is None:
        return BatchItem(index, 202, event.event_id, event.correlation_id)
    document = problem.as_object(event.correlation_id)
    if problem.kind is Kind.DUPLICATE:
        status, shown = (200, None) if is_skipped else (problem.status, document)
        return BatchItem(index, status, problem.event_id, event.correlation_id, duplicate=True, problem=shown)
    return BatchItem(index, problem.status, event.event_id, event.correlation_id, problem=document)
