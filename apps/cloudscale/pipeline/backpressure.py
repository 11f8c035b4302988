"""How many calls to the store a worker has in flight, by the depth of the queue.

A deep queue means that the store does not keep up, so the deeper it is the fewer writes each worker keeps in flight.
Between ``restoreBelow`` and the second step the last limit holds (hysteresis), or the limit would flap around one
depth. The worker obeys this function and the operator reports its answer, so both tell the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cloudscale import pipeline


def concurrency_limit(concurrency: pipeline.Concurrency, depth: int, current: int | None) -> int:
    """The limit that holds at ``depth`` queued events.

    ``current`` is the limit that held until now, None at the start or when it is not known. A current limit that is no
    longer one of the steps (the resource was edited) does not hold on.
    """
    first, *others = concurrency.steps
    reached = [step.limit for step in others if depth >= step.depth]
    if reached:
        return reached[-1]
    if depth < concurrency.restore_below or current not in {step.limit for step in concurrency.steps}:
        return first.limit
    return current
