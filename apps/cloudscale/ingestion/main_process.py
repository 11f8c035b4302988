"""Ingestion's main process: Granian's, which starts the workers, ends them, and starts others for those that fail."""

from __future__ import annotations

import _thread
from typing import Any

from granian import Granian


class MainProcess(Granian):  # type: ignore[misc,valid-type] # one of two classes, by the kind of interpreter
    """It can be told to stop at any moment and any number of times."""

    def signal_handler_interrupt(self, *_: Any) -> None:
        """Wake the main loop, which holds a lock for moments that a signal may fall into.

        Granian takes that lock here, in the same thread, and would wait for itself for ever.
        """
        self.interrupt_signal = True
        _thread.start_new_thread(self.main_loop_interrupt.set, ())
