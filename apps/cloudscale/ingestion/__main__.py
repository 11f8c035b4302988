"""``python -m cloudscale.ingestion``: serve the HTTP side as the environment says, until SIGTERM or SIGINT."""

from __future__ import annotations

import gc

from cloudscale.termination import exit_forks_on_signal, exit_on_signal

if __name__ == "__main__":
    exit_on_signal()
    # What is imported stays: looking for garbage among it would take a sixth of the start.
    gc.disable()

import os
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from granian.constants import HTTPModes, Interfaces, Loops, SSLProtocols
from granian.log import LogLevels

from cloudscale import pipeline
from cloudscale.cache.connection import open_redis
from cloudscale.errors import ConfigurationError
from cloudscale.events.types import EventTypes
from cloudscale.ingestion.main_process import MainProcess
from cloudscale.settings import Settings, read_settings

if TYPE_CHECKING:
    from collections.abc import Callable

CONFIGURATION_ERROR = 2
BACKLOG_CONNECTIONS = 4096
DRAIN_SECONDS = 20


def main() -> int:
    """Run the server; the exit code."""
    try:
        settings = read_settings(os.environ)
        resource = pipeline.load_file(settings.pipeline_file)
        # What each worker process would trip over is said once, here.
        EventTypes(resource.spec.event_types)
        open_redis(settings.redis_url)
        server = _server_of(settings)
    except ConfigurationError as error:
        print(f"ingestion cannot start: {error}", file=sys.stderr)  # noqa: T201 - a message for a person, not a log
        return CONFIGURATION_ERROR
    shedding = resource.spec.ingestion.shed_above
    # Whether a worker process is forked or started anew is up to the interpreter.
    exit_forks_on_signal()
    server(
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


def _server_of(settings: Settings) -> Callable[..., MainProcess]:
    if not settings.tls_folder:
        return MainProcess
    # What reads certificates takes a while to import.
    from cloudscale.certificate import CertificateFolder  # noqa: PLC0415
    from cloudscale.ingestion.renewal import RenewingProcess  # noqa: PLC0415

    folder = CertificateFolder(Path(settings.tls_folder))
    return partial(RenewingProcess, folder, folder.read(), ssl_protocol_min=SSLProtocols.tls12)


if __name__ == "__main__":
    gc.freeze()
    gc.enable()
    sys.exit(main())
