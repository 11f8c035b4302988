"""What a queue is: its settings, as the management API names them."""

from __future__ import annotations

import re
from enum import StrEnum

import msgspec

from cloudscale.emulators.servicebus.conditions import ArgumentError

MEGABYTE = 1024 * 1024
LONGEST_LOCK_MILLISECONDS = 5 * 60 * 1000
DUPLICATE_WINDOW_RANGE_MILLISECONDS = (20_000, 7 * 24 * 3600 * 1000)
SHORTEST_IDLE_MILLISECONDS = 5 * 60 * 1000
FOREVER_MILLISECONDS = 922_337_203_685_477
"""The longest .NET ``TimeSpan``, which stands for "never expires"."""

_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._/~-]*[A-Za-z0-9])?")


class Status(StrEnum):
    """What clients may do with a queue."""

    ACTIVE = "Active"
    DISABLED = "Disabled"
    SEND_DISABLED = "SendDisabled"
    RECEIVE_DISABLED = "ReceiveDisabled"

    @property
    def takes_messages(self) -> bool:
        """Whether messages can be sent to the queue."""
        return self in {Status.ACTIVE, Status.RECEIVE_DISABLED}

    @property
    def gives_messages(self) -> bool:
        """Whether messages can be received from the queue."""
        return self in {Status.ACTIVE, Status.SEND_DISABLED}


class QueueDescription(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of a queue; durations are milliseconds, defaults are the service's."""

    name: str
    lock_duration: int = 60_000
    max_delivery_count: int = 10
    default_time_to_live: int = FOREVER_MILLISECONDS
    requires_session: bool = False
    requires_duplicate_detection: bool = False
    duplicate_detection_window: int = 600_000
    dead_lettering_on_expiration: bool = False
    max_size_bytes: int = 1024 * MEGABYTE
    user_metadata: str | None = None
    status: Status = Status.ACTIVE
    auto_delete_on_idle: int = FOREVER_MILLISECONDS
    batched_operations: bool = True
    created: int = 0
    updated: int = 0

    def check(self) -> QueueDescription:
        """Return the description itself if it can be used.

        Raises:
            ArgumentError: names the property out of range and the range.
        """
        if len(self.name) > 260 or not _NAME.fullmatch(self.name):
            raise ArgumentError(f"the queue name {self.name!r} is invalid: use up to 260 letters, digits and . _ / ~ -")
        _check_range("LockDuration (ms)", self.lock_duration, 1, LONGEST_LOCK_MILLISECONDS)
        _check_range("MaxDeliveryCount", self.max_delivery_count, 1, 2000)
        _check_range("DefaultMessageTimeToLive (ms)", self.default_time_to_live, 1, FOREVER_MILLISECONDS)
        low, high = DUPLICATE_WINDOW_RANGE_MILLISECONDS
        _check_range("DuplicateDetectionHistoryTimeWindow (ms)", self.duplicate_detection_window, low, high)
        _check_range(
            "AutoDeleteOnIdle (ms)", self.auto_delete_on_idle, SHORTEST_IDLE_MILLISECONDS, FOREVER_MILLISECONDS
        )
        _check_range("MaxSizeInMegabytes (bytes)", self.max_size_bytes, 1, 80 * 1024 * MEGABYTE)
        return self


def _check_range(name: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise ArgumentError(f"{name} is {value}: it must be between {low} and {high}")
