"""``python -m cloudscale.dashboard``: serve the dashboard as the environment says, until SIGTERM or SIGINT."""

from __future__ import annotations

import asyncio
import os
import signal
import sys

import uvloop
from granian.constants import Interfaces
from granian.server.embed import Server

from cloudscale import logs, pipeline
from cloudscale.dashboard.application import build_application
from cloudscale.errors import ConfigurationError
from cloudscale.settings import read_settings

CONFIGURATION_ERROR = 2


def main() -> int:
    """Run the dashboard; the exit code."""
    try:
        settings = read_settings(os.environ)
        resource = pipeline.load_file(settings.pipeline_file)
        logs.configure(format=settings.log_format, level=resource.spec.telemetry.log_level)
        application = build_application(resource, settings)
    except ConfigurationError as error:
        print(f"dashboard cannot start: {error}", file=sys.stderr)  # noqa: T201 - a message for a person, not a log
        return CONFIGURATION_ERROR
    # Embedded in this process and its loop: one process is enough, and a fork would double its memory.
    server = Server(application, address=settings.host, port=settings.port, interface=Interfaces.ASGI)
    uvloop.run(_serve(server))
    return 0


async def _serve(server: Server) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, server.stop)
    await server.serve()


if __name__ == "__main__":
    sys.exit(main())
