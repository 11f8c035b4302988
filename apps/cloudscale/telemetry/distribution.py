"""A histogram as a value: it can be added, subtracted, sent as JSON and asked for quantiles."""

from __future__ import annotations

import math
from bisect import bisect_left
from itertools import accumulate

import msgspec


class Distribution(msgspec.Struct, frozen=True):
    """Observations in buckets.

    ``counts`` has one entry more than ``bounds``: the last bucket holds what lies above all bounds. A bucket holds
    values up to and including its bound, as in Prometheus.
    """

    bounds: tuple[float, ...] = ()
    counts: tuple[float, ...] = ()
    total: float = 0.0
    """Sum of all observed values."""

    @property
    def count(self) -> float:
        """Number of observations."""
        return sum(self.counts)

    @property
    def mean(self) -> float | None:
        """Average of the observed values, or None without any."""
        return self.total / self.count if self.count else None

    def __add__(self, other: Distribution) -> Distribution:
        """Both distributions' observations together; an empty one has no bounds and fits any.

        Of different bounds, as processes of two versions have them, those that both have are kept.
        """
        if not self.bounds or not other.bounds:
            return self if self.bounds else other
        if self.bounds != other.bounds:
            common = tuple(bound for bound in self.bounds if bound in other.bounds)
            return self._within(common) + other._within(common)
        counts = tuple(ours + theirs for ours, theirs in zip(self.counts, other.counts, strict=True))
        return Distribution(bounds=self.bounds, counts=counts, total=self.total + other.total)

    def __sub__(self, earlier: Distribution) -> Distribution:
        """What was observed since ``earlier``, a former state of the same distribution."""
        if not earlier.bounds:
            return self
        counts = tuple(max(0.0, now - then) for now, then in zip(self.counts, earlier.counts, strict=True))
        return Distribution(bounds=self.bounds, counts=counts, total=max(0.0, self.total - earlier.total))

    def _within(self, bounds: tuple[float, ...]) -> Distribution:
        """The same observations in wider buckets, with some of the bounds."""
        counts = [0.0] * (len(bounds) + 1)
        for bound, count in zip((*self.bounds, math.inf), self.counts, strict=True):
            counts[bisect_left(bounds, bound)] += count
        return Distribution(bounds=bounds, counts=tuple(counts), total=self.total)

    def quantile(self, share: float) -> float | None:
        """The value that ``share`` (0 to 1) of the observations do not exceed, or None without observations.

        Linear within a bucket, like PromQL's ``histogram_quantile``; above the last bound it is that bound.
        """
        if not self.count:
            return None
        rank = share * self.count
        for index, reached in enumerate(accumulate(self.counts)):
            if reached < rank or not self.counts[index]:
                continue
            if index == len(self.bounds):
                break
            lower = self.bounds[index - 1] if index else 0.0
            within = (rank - (reached - self.counts[index])) / self.counts[index]
            return lower + (self.bounds[index] - lower) * max(0.0, within)
        return self.bounds[-1]

    def share_within(self, limit: float) -> float | None:
        """Share (0 to 1) of the observations up to ``limit``, which should be one of the bounds; None without any."""
        if not self.count:
            return None
        within = sum(count for bound, count in zip(self.bounds, self.counts, strict=False) if bound <= limit)
        return within / self.count
