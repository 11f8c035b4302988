"""A circuit breaker: after too many failures, calls to a backend are refused for a while instead of piling up.

It opens on the *share* of failed calls in a sliding window of time, once a minimum of calls was seen, as resilience4j's
time-based window does. The kept Python libraries count otherwise: purgatory and hyx open after consecutive failures,
which a backend that fails every other call never reaches, and resilient-circuit looks at the last N calls however old
they are. It decides and counts only; it calls nothing, so it serves sync and async code and costs no wrapper.
"""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Literal

import structlog

from cloudscale.errors import BackendUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta

log = structlog.get_logger(__name__)

State = Literal["closed", "open", "half-open"]

SLICES = 30
"""The window is counted in so many slices, so that its memory and time do not grow with the rate of calls."""


class CircuitOpenError(BackendUnavailableError):
    """The breaker refused the call without trying it. ``retry_after_seconds`` is when a probe will be let through."""

    def __init__(self, message: str, *, retry_after_seconds: float) -> None:
        self.retry_after_seconds = retry_after_seconds
        super().__init__(message)


class CircuitBreaker:
    """Counts the outcomes of calls to one backend and says whether another call may be made.

    Around each call: :meth:`before_call`, then :meth:`record_success` or :meth:`record_failure`. A failure is one that
    blames the backend (unreachable, too slow, 5xx); an answer that blames the request is a success.

    It says in the log when it opens and when it closes, once for each outage: a probe that fails changes nothing.

    Args:
        backend: what is protected, named in the error message.
        failure_ratio: share of failed calls within the window that opens it, above 0 up to 1.
        window: calls older than this no longer count.
        minimum_calls: calls within the window before the share is looked at.
        open_for: how long calls are refused before one probe is let through.
        clock: seconds on a clock that never goes back.
    """

    def __init__(
        self,
        *,
        failure_ratio: float,
        window: timedelta,
        minimum_calls: int,
        open_for: timedelta,
        backend: str = "backend",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._backend = backend
        self._failure_ratio = failure_ratio
        self._slice_seconds = window.total_seconds() / SLICES
        self._minimum_calls = minimum_calls
        self._open_seconds = open_for.total_seconds()
        self._clock = clock
        self._slices: deque[list[int]] = deque()  # [slice number, calls, failures], oldest first
        self._calls = 0
        self._failures = 0
        self._opened_at: float | None = None
        self._failing_since = 0.0
        self._probe_started_at: float | None = None

    @property
    def state(self) -> State:
        """Whether calls pass (``closed``), are refused (``open``) or one probe may pass (``half-open``)."""
        if self._opened_at is None:
            return "closed"
        return "open" if self._clock() < self._opened_at + self._open_seconds else "half-open"

    def before_call(self) -> None:
        """Ask to make a call.

        Raises:
            CircuitOpenError: calls are refused at present; the error says for how long.
        """
        if self._opened_at is None:
            return
        now = self._clock()
        until = self._opened_at + self._open_seconds
        # A probe whose outcome is never recorded (its caller was cancelled) must not keep the circuit open for ever.
        if self._probe_started_at is not None:
            until = self._probe_started_at + self._open_seconds
        if now < until:
            raise CircuitOpenError(
                f"too many calls to the {self._backend} failed: no call is made for another {until - now:.1f} s",
                retry_after_seconds=until - now,
            )
        self._probe_started_at = now

    def record_success(self) -> None:
        """Count a call that the backend answered. A probe's success closes the circuit."""
        if self.state == "half-open":
            self._close()
        elif self._opened_at is None:
            self._count(failures=0)

    def record_failure(self, error: Exception | None = None) -> None:
        """Count a call that failed, for the log with its ``error``. A probe's failure opens the circuit again."""
        if self.state == "half-open":
            self._open()
        elif self._opened_at is None:
            self._count(failures=1)
            if self._calls >= self._minimum_calls and self._failures >= self._failure_ratio * self._calls:
                self._open()
                self._log_opened(error)

    def _count(self, *, failures: int) -> None:
        number = int(self._clock() / self._slice_seconds)
        if not self._slices or self._slices[-1][0] != number:
            self._slices.append([number, 0, 0])
            while self._slices[0][0] <= number - SLICES:
                _, calls, failed = self._slices.popleft()
                self._calls -= calls
                self._failures -= failed
        self._slices[-1][1] += 1
        self._slices[-1][2] += failures
        self._calls += 1
        self._failures += failures

    def _open(self) -> None:
        self._opened_at = self._clock()
        self._probe_started_at = None

    def _log_opened(self, error: Exception | None) -> None:
        self._failing_since = self._clock()
        log.warning(
            "circuit breaker opened: no calls are made",
            backend=self._backend,
            failed=self._failures,
            calls=self._calls,
            probe_after_seconds=self._open_seconds,
            error=str(error) if error is not None else None,
        )

    def _close(self) -> None:
        seconds = round(self._clock() - self._failing_since, 1)
        log.info("circuit breaker closed: calls are made again", backend=self._backend, open_seconds=seconds)
        self._opened_at = self._probe_started_at = None
        self._slices.clear()
        self._calls = self._failures = 0
