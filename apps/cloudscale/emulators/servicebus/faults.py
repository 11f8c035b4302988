"""Faults on request, for tests and benchmarks of the emulator's clients."""

from __future__ import annotations

import random

import msgspec

from cloudscale.emulators.servicebus.conditions import ConditionError, ServerBusyError


class Faults(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True, kw_only=True):
    """What goes wrong at present.

    ``delay_milliseconds`` holds back everything the broker says; ``fail_ratio`` (0 to 1) is the share of sends and
    requests that fail; ``stall`` neither reads nor answers; ``throttle`` refuses sends as server-busy;
    ``drop_acknowledgements`` stores messages and never says so.
    """

    delay_milliseconds: float = 0
    fail_ratio: float = 0
    stall: bool = False
    throttle: bool = False
    drop_acknowledgements: bool = False

    def check(self) -> None:
        """Fail as told.

        Raises:
            ServerBusyError: all sends are throttled.
            ConditionError: this one is among those that fail.
        """
        if self.throttle:
            raise ServerBusyError("the emulator was told to throttle: DELETE /$faults ends it")
        if self.fail_ratio and random.random() < self.fail_ratio:  # noqa: S311 — no secret
            raise ConditionError("the emulator was told to fail: DELETE /$faults ends it")


NO_FAULTS = Faults()
