from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import logging
import structlog
from cloudscale.emulators import logs

def fail():
    key = "".join(["s3", "cret"])
    raise ValueError("nothing works")

logs.configure(level=logging.INFO)
try:
    fail()
except ValueError:
    structlog.get_logger().exception("it failed", queue="events")
"""


def test_a_traceback_is_logged_without_local_variables() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)

    assert done.stdout == ""
    assert "it failed" in done.stderr
    assert "queue=events" in done.stderr
    assert "ValueError: nothing works" in done.stderr
    assert "s3cret" not in done.stderr
