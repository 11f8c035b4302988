"""How a deletion ends: at once, when the queue is empty, or when the deadline has passed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cloudscale.units import parse_duration

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from cloudscale.pipeline import EventPipeline
    from cloudscale_operator.depth import Reading


EMPTY_SECONDS = 2.0
"""How long a queue has to be found empty, by two readings or more, to be believed."""


@dataclass(frozen=True)
class Drain:
    """Whether the pipeline may go now, and what there is to say about it. A forced end leaves events behind."""

    reason: str
    message: str
    done: bool = True
    forced: bool = False


def evaluate(
    pipeline: EventPipeline, readings: Sequence[Reading], *, started: datetime, stopped: datetime | None, now: datetime
) -> Drain:
    """Look at a deletion under way.

    Args:
        pipeline: what is being deleted.
        readings: the queue's last backlogs, the latest at the end. Messages that a worker holds still count as active.
        started: when the deletion was asked for.
        stopped: when the last ingestion pod was gone, None while there is one. Only readings after that can show that
            nothing more is coming, and one alone does not: the broker's figures are not those of one moment.
        now: the moment to evaluate at.
    """
    if pipeline.spec.deletion == "Immediate":
        return Drain("Immediate", "spec.deletion is Immediate: events that are queued stay in the queue")
    reading = readings[-1] if readings else None
    backlog = reading.backlog if reading else None
    if stopped and backlog and has_stayed_empty(readings, since=stopped):
        left = f"; {backlog.scheduled} scheduled and {backlog.dead_letters} dead-lettered messages stay in the queue"
        return Drain("Drained", "the queue is empty" + (left if backlog.scheduled or backlog.dead_letters else ""))
    why = reading.error if reading else "the depth has not been read yet"
    known = f"{backlog.events} events" if backlog else f"an unknown number of events ({why})"
    if now - started >= parse_duration(pipeline.spec.drain_deadline):
        text = f"{known} were left in the queue when spec.drainDeadline ({pipeline.spec.drain_deadline}) had passed"
        return Drain("DrainDeadlineExceeded", text, forced=True)
    if stopped is None:
        return Drain("StoppingIntake", "ingestion is stopping: no new events are accepted", done=False)
    return Drain(
        "Draining",
        f"{known} left in the queue: the deletion goes on without them after {pipeline.spec.drain_deadline}",
        done=False,
    )


def has_stayed_empty(readings: Sequence[Reading], *, since: datetime) -> bool:
    """Whether the latest readings, ``EMPTY_SECONDS`` apart or more, have all found nothing."""
    empty: list[Reading] = []
    for reading in reversed(readings):
        if reading.at < since or reading.backlog is None or reading.backlog.messages:
            break
        empty.append(reading)
    return bool(empty) and (empty[0].at - empty[-1].at).total_seconds() >= EMPTY_SECONDS
