"""Lines about refusals, so many a second and no more: anybody can have requests refused."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import structlog

from cloudscale.ingestion.problems import Kind

if TYPE_CHECKING:
    from cloudscale.telemetry.refusals import Group

log = structlog.get_logger(__name__)

LINES_AT_ONCE = 100
LINES_PER_SECOND = 20.0
LINES_OF_SUMMARY = 5
SUMMED_UP = frozenset({Kind.DUPLICATE.status, Kind.RATE_LIMITED.status})
"""Status codes of refusals that come in floods."""


class RefusalLog:
    """Writes lines while there is a budget for them, and says how many it has left out."""

    def __init__(self) -> None:
        self._left = float(LINES_AT_ONCE)
        self._counted_at = time.monotonic()
        self._left_out = 0
        self._floods: Counter[tuple[int, str, str]] = Counter()

    def write(self, text: str, **fields: Any) -> None:
        """Log a line, or count it as left out."""
        now = time.monotonic()
        self._left = min(LINES_AT_ONCE, self._left + LINES_PER_SECOND * (now - self._counted_at))
        self._counted_at = now
        if self._left < 1:
            self._left_out += 1
            return
        self._left -= 1
        log.info(text, **fields)

    def count(self, group: Group, count: int) -> None:
        """Remember copies and refusals by a limit for the next summary; they have no lines of their own."""
        if group.status in SUMMED_UP:
            self._floods[group.status, group.reason, group.tenant_id] += count

    def summarise(self) -> None:
        """Log what was counted since the last summary, and how many lines were left out."""
        floods, self._floods = self._floods, Counter()
        for (status, reason, tenant_id), count in floods.most_common(LINES_OF_SUMMARY):
            self.write("events were refused", status=status, reason=reason, tenant_id=tenant_id, events=count)
        left_out, self._left_out = self._left_out, 0
        if left_out:
            log.info("lines about refused events were left out", lines=left_out)
