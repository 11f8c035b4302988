"""How long the next group of requests waits after the last one has started.

A group costs some 500 µs of CPU before its first event, a message costs its receiver as much, and on Service Bus
Standard each costs credits. So small groups wait for company, but only where company comes: the wait is long while
requests meet in it, shrinks while they do not, and is tried again now and then. A client that sends one request after
the other hardly waits.
"""

from __future__ import annotations

LONE_SECONDS = 0.0025
PACE_SECONDS = 0.010

LINGER_SECONDS = 0.015
"""The longest wait for company; with the commit itself a request is answered within 20 ms."""

LINGER_BEHIND_SECONDS = 0.050
"""The longest wait for company while many events wait in the queue: they are stored later than that by far, and each
message less is one that the workers do not have to fetch."""

GOOD_GROUP_REQUESTS = 8
GOOD_GROUP_BEHIND_REQUESTS = 32
"""A group of so many is of a good size."""

TRIAL_GROUPS = 32
"""After so many groups of one request each, one waits as long as it may: requests that come in step, a few milliseconds
apart, never meet by chance."""

SHRINKAGE = 0.8


class Pace:
    """The wait between the starts of two groups, by how many requests the last ones had.

    Args:
        lone_seconds: for each request of the last group: a lone client's next request waits no longer.
        longest_seconds: the longest wait of groups that are of a good size anyway.
    """

    def __init__(self, *, lone_seconds: float = LONE_SECONDS, longest_seconds: float = PACE_SECONDS) -> None:
        self._lone_seconds = lone_seconds
        self._longest_seconds = longest_seconds
        self._linger_seconds = lone_seconds
        self._lone_groups = 0

    def after(self, requests: int, *, is_behind: bool = False) -> float:
        """Seconds from the start of a group of so many requests to the next one.

        ``is_behind`` says that so many events wait in the queue that the workers are behind.
        """
        longest = LINGER_BEHIND_SECONDS if is_behind else LINGER_SECONDS
        pace = min(self._longest_seconds, self._lone_seconds * requests)
        if requests > 1:
            self._linger_seconds, self._lone_groups = longest, 0
        else:
            self._linger_seconds = min(longest, max(self._lone_seconds, SHRINKAGE * self._linger_seconds))
            self._lone_groups += 1
            if self._lone_groups % TRIAL_GROUPS == 0:
                return longest
        if requests >= (GOOD_GROUP_BEHIND_REQUESTS if is_behind else GOOD_GROUP_REQUESTS):
            return pace
        return max(pace, self._linger_seconds)
