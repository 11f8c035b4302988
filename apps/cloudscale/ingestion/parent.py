"""A worker process of the server ends with the server's main process, also when that was killed.

Nobody would tell it to stop any more, and it would go on to hold the port.
"""

from __future__ import annotations

import multiprocessing
import os
import select
import signal
import threading
import time

END_SECONDS = 8.0
"""For the requests that are being answered; what is left after that is cut off."""


def end_with_parent() -> None:
    """Watch the process that has started this one, from a thread of its own: no handler and no loop has to work."""
    parent = multiprocessing.parent_process()
    if parent is not None and parent.pid is not None:
        threading.Thread(target=_end_after, args=(parent.pid,), name="parent", daemon=True).start()


def _end_after(parent: int) -> None:
    try:
        # Means this process for ever, unlike its id.
        descriptor = os.pidfd_open(parent)
    except ProcessLookupError:
        descriptor = None
    # It may have ended before, and another process have its id by now.
    if descriptor is not None and os.getppid() == parent:
        watch = select.poll()
        watch.register(descriptor, select.POLLIN)
        watch.poll()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(END_SECONDS)
    os._exit(1)
