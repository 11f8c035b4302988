"""What the emulator counts, in Prometheus's text format.

Written by hand: a dozen series do not warrant another library in a process that is to stay small.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable
from typing import Final

LATENCY_BUCKETS_SECONDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class Metrics:
    """Counters and one histogram."""

    def __init__(self) -> None:
        self._requests: Counter[tuple[str, int]] = Counter()
        self._charges: Counter[str] = Counter()
        self._buckets = [0] * (len(LATENCY_BUCKETS_SECONDS) + 1)
        self._seconds = 0.0

    def record(self, operation: str, status: int, seconds: float) -> None:
        """Count one answered request."""
        self._requests[operation, status] += 1
        self._buckets[bisect_left(LATENCY_BUCKETS_SECONDS, seconds)] += 1
        self._seconds += seconds

    def charge(self, operation: str, request_units: float) -> None:
        """Count request units, in thousandths so that the sum stays exact."""
        self._charges[operation] += round(request_units * 1000)

    def render(self, documents: Iterable[tuple[str, str, int]]) -> str:
        """The text; ``documents`` gives database, container and count."""
        lines = ["# TYPE cosmos_requests_total counter"]
        lines += [
            f'cosmos_requests_total{{operation="{operation}",status="{status}"}} {count}'
            for (operation, status), count in sorted(self._requests.items())
        ]
        lines.append("# TYPE cosmos_request_units_total counter")
        lines += [
            f'cosmos_request_units_total{{operation="{operation}"}} {units / 1000}'
            for operation, units in sorted(self._charges.items())
        ]
        lines.append("# TYPE cosmos_documents gauge")
        lines += [
            f'cosmos_documents{{database="{_escape(database)}",container="{_escape(container)}"}} {count}'
            for database, container, count in documents
        ]
        lines.append("# TYPE cosmos_request_seconds histogram")
        total = 0
        for bound, count in zip((*LATENCY_BUCKETS_SECONDS, "+Inf"), self._buckets, strict=True):
            total += count
            lines.append(f'cosmos_request_seconds_bucket{{le="{bound}"}} {total}')
        lines += [f"cosmos_request_seconds_sum {self._seconds}", f"cosmos_request_seconds_count {total}", ""]
        return "\n".join(lines)


def _escape(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
