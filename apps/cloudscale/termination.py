"""SIGTERM and SIGINT from the first moment of a process on, before the imports that take long.

Imports nothing but the standard library's smallest parts: every entry point calls it before all other imports.
"""

from __future__ import annotations

import os
import signal

_NUMBERS = (signal.SIGTERM, signal.SIGINT)


def exit_on_signal() -> None:
    """End the process on SIGTERM or SIGINT until it installs handlers of its own, which then replace these.

    Nothing has begun yet, so nothing has to be finished. The kernel's own reaction is not enough: it does nothing for
    the first process of a container.
    """
    for number in _NUMBERS:
        signal.signal(number, _exit_at_once)


def exit_forks_on_signal() -> None:
    """The same for every process that is forked from here on.

    A fork starts with its parent's handlers, which would do in it what only the parent needs. The signals are held
    back around the fork, so that one that comes before the new handlers are there is not lost.
    """
    os.register_at_fork(before=_hold_back, after_in_parent=_let_through, after_in_child=_start_as_fork)


def _exit_at_once(_number: int, _frame: object) -> None:
    # Whatever is being imported could catch an exception.
    os._exit(0)


def _hold_back() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, _NUMBERS)


def _let_through() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _NUMBERS)


def _start_as_fork() -> None:
    exit_on_signal()
    _let_through()
