"""``python -m cloudscale.ingestion``: serve the HTTP side as the environment says, until SIGTERM or SIGINT."""

from __future__ import annotations

from cloudscale.termination import exit_forks_on_signal, exit_on_signal

if __name__ == "__main__":
    exit_on_signal()

import _thread
import os
import sys
from typing import Any

from granian import Granian
from granian.constants import HTTPModes, Interfaces, Loops
from granian.log import LogLevels

from cloudscale import pipeline
from cloudscale.cache.connection import open_redis
from cloudscale.errors import ConfigurationError
from cloudscale.events.types import EventTypes
from cloudscale.settings import read_settings

CONFIGURATION_ERROR = 2
BACKLOG_CONNECTIONS = 4096
DRAIN_SECONDS = 20


class _Server(Granian):  # type: ignore[misc,valid-type] # one of two classes, by the kind of interpreter
    """Granian's main process, which can be told to stop at any moment and any number of times."""

    def signal_handler_interrupt(self, *_: Any) -> None:
        """Wake the main loop, which holds a lock for moments that a signal may fall into.

        Granian takes that lock here, in the same thread, and would wait for itself for ever.
        """
        self.interrupt_signal = True
        _thread.start_new_thread(self.main_loop_interrupt.set, ())


def main() -> int:
    """Run the server; the exit code."""
    try:
        settings = read_settings(os.environ)
        resource = pipeline.load_file(settings.pipeline_file)
        # What each worker process would trip over is said once, here.
        EventTypes(resource.spec.event_types)
        open_redis(settings.redis_url)
    except ConfigurationError as error:
        print(f"ingestion cannot start: {error}", file=sys.stderr)  # noqa: T201 - a message for a person, not a log
        return CONFIGURATION_ERROR
    shedding = resource.spec.ingestion.shed_above
    # Whether a worker process is forked or started anew is up to the interpreter.
    exit_forks_on_signal()
    _Server(
        "cloudscale.ingestion.server:Server",
        address=settings.host,
        port=settings.port,
        interface=Interfaces.RSGI,
        factory=True,
        workers=settings.processes,
        loop=Loops.uvloop,
        http=HTTPModes.http1,
        websockets=False,
        backlog=BACKLOG_CONNECTIONS,
        # Beyond the requests that wait for the broker, so that a surplus one reaches the code that answers it with 503.
        backpressure=shedding.in_flight * 2 + BACKLOG_CONNECTIONS,
        respawn_failed_workers=True,
        workers_kill_timeout=DRAIN_SECONDS,
        log_level=LogLevels.warning,
    ).serve()
    return 0


if __name__ == "__main__":
    sys.exit(main())
