"""What of the started processes is measured: an emulator's coverage is that of its own tests.

Everywhere else it is the busiest process beside the one that a test is about, and measuring it would cost every such
test a third of its time. Programs of others, such as pip, have none of the code that is measured, and would take longer
all the same.
"""

from __future__ import annotations

import os

OWN_TESTS = "tests/emulators/"


def emulator_environment() -> dict[str, str]:
    """The environment for an emulator, in which coverage is measured only for the emulators' own tests."""
    if os.environ.get("PYTEST_CURRENT_TEST", "").startswith(OWN_TESTS):
        return dict(os.environ)
    return unmeasured_environment()


def unmeasured_environment() -> dict[str, str]:
    """The environment for a program in which no coverage is measured."""
    return {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_PROCESS_")}
