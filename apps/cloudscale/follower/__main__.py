"""``python -m cloudscale.follower [outlets]``: follow the store as the environment says, until SIGTERM or SIGINT.

It writes the archive, or with ``outlets`` sends to the outlets: two processes, so that neither can slow the other.
"""

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

import uvloop

from cloudscale import pipeline
from cloudscale.archive.writer_lease import ArchiveTakenError
from cloudscale.errors import ConfigurationError, CredentialError
from cloudscale.follower.outlets import OutletsService
from cloudscale.follower.service import FollowerService
from cloudscale.settings import Settings, read_settings
from cloudscale.telemetry import logs

OUTLETS = "outlets"
REFUSED = 1
CONFIGURATION_ERROR = 2


def main() -> int:
    """Run the follower; the exit code."""
    try:
        settings = read_settings(os.environ)
        resource = pipeline.load_file(settings.pipeline_file)
        logs.configure(format=settings.log_format, level=resource.spec.telemetry.log_level)
        uvloop.run(_run(resource, settings))
    except ConfigurationError as error:
        print(f"follower cannot start: {error}", file=sys.stderr)  # noqa: T201 - a message for a person, not a log
        return CONFIGURATION_ERROR
    except (ArchiveTakenError, CredentialError) as error:
        # Somebody may be mending the role just now, so whoever supervises the follower is to start it again.
        print(f"follower ended: {error}", file=sys.stderr)  # noqa: T201 - a message for a person, not a log
        return REFUSED
    return 0


async def _run(resource: pipeline.EventPipeline, settings: Settings) -> None:
    service = OutletsService(resource, settings) if sys.argv[1:] == [OUTLETS] else FollowerService(resource, settings)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, service.stopping.set)
    await service.run()


if __name__ == "__main__":
    gc.freeze()
    gc.enable()
    sys.exit(main())
