"""Ingestion to which it is another time when it receives an event: its only argument is the shift, in seconds.

All else in the process goes by the machine's clock. The processes that the server starts import this file as well.
"""

from __future__ import annotations

import importlib
import sys
from datetime import UTC, datetime, timedelta, timezone


class ShiftedClock:
    """Stands in for the class ``datetime`` where ingestion asks it for the time."""

    def __init__(self, shift: timedelta) -> None:
        self._shift = shift

    def now(self, zone: timezone) -> datetime:
        """The time in a zone, by this clock."""
        return datetime.now(zone) + self._shift


def shift_clock(shift: timedelta) -> None:
    """Let events be received at another time from now on."""
    requests = importlib.import_module("cloudscale.ingestion.requests")
    # Fails where ingestion asks for the time elsewhere by now.
    vars(requests)["datetime"].now(UTC)
    vars(requests)["datetime"] = ShiftedClock(shift)


if __name__ in {"__main__", "__mp_main__"}:
    shift_clock(timedelta(seconds=float(sys.argv[1])))

if __name__ == "__main__":
    from cloudscale.ingestion.__main__ import main

    sys.exit(main())
