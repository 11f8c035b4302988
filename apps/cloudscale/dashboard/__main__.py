"""``python -m cloudscale.dashboard``: serve the dashboard as the environment configures it, until SIGTERM or SIGINT."""

from __future__ import annotations

import gc

from cloudscale.termination import exit_on_signal

if __name__ == "__main__":
    exit_on_signal()
    # What is imported stays: looking for garbage among it would take a sixth of the start.
    gc.disable()

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import structlog
import uvloop
from granian.constants import Interfaces, SSLProtocols
from granian.server.embed import Server

from cloudscale import pipeline
from cloudscale.dashboard.application import build_application
from cloudscale.errors import ConfigurationError
from cloudscale.settings import read_settings
from cloudscale.tasks import cancel_and_wait
from cloudscale.telemetry import logs

if TYPE_CHECKING:
    from collections.abc import Callable

    from cloudscale.certificate import CertificateFolder
    from cloudscale.settings import Settings

CONFIGURATION_ERROR = 2
STOP_SECONDS = 5.0
"""Answers under way have so long to end."""

log = structlog.get_logger(__name__)


def main() -> int:
    """Run the dashboard; the exit code."""
    try:
        settings = read_settings(os.environ)
        resource = pipeline.load_file(settings.pipeline_file)
        logs.configure(format=settings.log_format, level=resource.spec.telemetry.log_level)
        application = build_application(resource, settings)
        folder = _certificates_of(settings)
        shown = folder.read() if folder else None
    except ConfigurationError as error:
        print(f"dashboard cannot start: {error}", file=sys.stderr)  # noqa: T201 - a message for a person, not a log
        return CONFIGURATION_ERROR
    # Embedded in this process and its loop: one process is enough, and a fork would double its memory.
    server = Server(
        application,
        address=settings.host,
        port=settings.port,
        interface=Interfaces.ASGI,
        ssl_cert=shown.certificate if shown else None,
        ssl_key=shown.key if shown else None,
        ssl_protocol_min=SSLProtocols.tls12,
    )
    uvloop.run(_serve(server))
    return 0


def _certificates_of(settings: Settings) -> CertificateFolder | None:
    if not settings.tls_folder:
        return None
    # What reads certificates takes a while to import.
    from cloudscale.certificate import CertificateFolder  # noqa: PLC0415

    return CertificateFolder(Path(settings.tls_folder))


async def _serve(server: Server, *, stop_seconds: float = STOP_SECONDS) -> None:
    loop, stopping = asyncio.get_running_loop(), asyncio.Event()
    stop: Callable[[], None] = server.stop
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    serving, waiting = asyncio.create_task(server.serve()), asyncio.create_task(stopping.wait())
    try:
        await asyncio.wait({serving, waiting}, return_when=asyncio.FIRST_COMPLETED)
        stop()
        # It happens that Granian's own thread ends and its task never hears of it.
        done, _ = await asyncio.wait({serving}, timeout=stop_seconds)
        for task in done:
            task.result()
        if not done:
            log.warning("the server does not end, so the process ends without it", seconds=stop_seconds)
    finally:
        await cancel_and_wait(serving, waiting)


if __name__ == "__main__":
    gc.freeze()
    gc.enable()
    sys.exit(main())
