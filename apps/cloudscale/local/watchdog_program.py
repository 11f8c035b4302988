"""Ends the processes of a run when the run is gone, however it went: ``python -I -S FILE``, a program of its own.

It reads process ids from stdin, four octets each. The kernel closes stdin when the run ends; whatever is left by then
is asked to end once, and killed a while later. A process leads a group, and what it has started ends with it: a server
that was killed leaves worker processes behind that hold its port.

It imports nothing of this project, so that it costs little and is there at once.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from contextlib import suppress

ASK_SECONDS = 7.0
KILL_SECONDS = 2.5
OCTETS = 4
_STDIN = 0
_POLL_SECONDS = 0.02


class Watchdog:
    """The processes that run, each by a descriptor that means this process for ever, unlike its id."""

    def __init__(self) -> None:
        self._processes: dict[int, int] = {}
        self._poll = select.poll()

    def run(self) -> None:
        """Watch until the run is gone, then end what is left."""
        self._poll.register(_STDIN, select.POLLIN)
        unread = b""
        while True:
            for descriptor, _ in self._poll.poll():
                if descriptor != _STDIN:
                    self._ended(descriptor)
                    continue
                content = os.read(_STDIN, 4096)
                if not content:
                    self._poll.unregister(_STDIN)
                    self._end_all()
                    return
                unread += content
                while len(unread) >= OCTETS:
                    self._watch(int.from_bytes(unread[:OCTETS], sys.byteorder))
                    unread = unread[OCTETS:]

    def _watch(self, process_id: int) -> None:
        # It may have ended already.
        with suppress(ProcessLookupError):
            descriptor = os.pidfd_open(process_id)
            self._processes[descriptor] = process_id
            self._poll.register(descriptor, select.POLLIN)

    def _ended(self, descriptor: int) -> None:
        self._poll.unregister(descriptor)
        process_id = self._processes.pop(descriptor)
        os.close(descriptor)
        _kill_group(process_id)

    def _end_all(self) -> None:
        groups = list(self._processes.values())
        for descriptor in self._processes:
            with suppress(ProcessLookupError):
                # Once: a handler that runs while another signal arrives may wait for itself.
                signal.pidfd_send_signal(descriptor, signal.SIGTERM)
        deadline = time.monotonic() + ASK_SECONDS
        while self._processes and (left := deadline - time.monotonic()) > 0:
            for descriptor, _ in self._poll.poll(left * 1000):
                self._ended(descriptor)
        for process_id in self._processes.values():
            _kill_group(process_id)
        deadline = time.monotonic() + KILL_SECONDS
        while any(map(_is_there, groups)) and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)


def _kill_group(process_id: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process_id, signal.SIGKILL)


def _is_there(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


if __name__ == "__main__":
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        # A signal to the whole process group must not end this process before the run has ended its own.
        signal.signal(number, signal.SIG_IGN)
    Watchdog().run()
