"""``python -m cloudscale.emulators.cosmos``: run the emulator until SIGTERM or Ctrl-C."""

import gc

from cloudscale.termination import exit_on_signal

if __name__ == "__main__":
    exit_on_signal()
    # What is imported stays: looking for garbage among it would take a sixth of the start.
    gc.disable()

import argparse
import asyncio
import logging
import os
import signal
import sys
from pathlib import Path

import structlog

from cloudscale.emulators import logs
from cloudscale.emulators.cosmos.account import CONSISTENCY_LEVELS, DEFAULT_CONSISTENCY, DEFAULT_REGION
from cloudscale.emulators.cosmos.errors import StartupError
from cloudscale.emulators.cosmos.server import ServerSettings, serve
from cloudscale.private_files import PRIVATE_UMASK


def _parse(arguments: list[str] | None) -> ServerSettings:
    parser = argparse.ArgumentParser(prog="python -m cloudscale.emulators.cosmos", description="A Cosmos DB emulator.")
    parser.add_argument("--data-dir", type=Path, required=True, help="where everything is kept; created if missing")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument(
        "--port", type=int, default=8081, help="0 takes a free one, which the first line of output names"
    )
    parser.add_argument(
        "--account-key-file", type=Path, help="base64 key; default: DIR/account.key, made at the first start"
    )
    parser.add_argument("--read-only-key-file", type=Path, help="base64 key that may read and not write; none without")
    parser.add_argument("--advertise-host", help="host[:port] for the account document; default: what the client used")
    parser.add_argument("--tls-certificate", type=Path, help="PEM; turns HTTPS on")
    parser.add_argument("--tls-key", type=Path, help="PEM, unless the certificate's file holds the key too")
    parser.add_argument(
        "--fsync",
        choices=("always", "interval"),
        default="interval",
        help="against loss of power: with every commit, or about once a second (a killed process loses nothing)",
    )
    parser.add_argument("--partition-ranges", type=int, default=1, help="number of partition key ranges")
    parser.add_argument(
        "--enforce-throughput", action="store_true", help="answer 429 beyond the provisioned throughput"
    )
    parser.add_argument("--region", default=DEFAULT_REGION, help="name of the account's only region")
    parser.add_argument(
        "--consistency",
        choices=CONSISTENCY_LEVELS,
        default=DEFAULT_CONSISTENCY,
        help="what the account promises, whatever is read is current; a request may not ask for more",
    )
    given = parser.parse_args(arguments)
    if not 1 <= given.partition_ranges <= 1000:
        parser.error("--partition-ranges must be 1 to 1000")
    if given.tls_key and not given.tls_certificate:
        parser.error("--tls-key needs --tls-certificate")
    return ServerSettings(
        data_directory=given.data_dir,
        host=given.host,
        port=given.port,
        account_key_file=given.account_key_file,
        read_only_key_file=given.read_only_key_file,
        advertised_host=given.advertise_host,
        tls_certificate=given.tls_certificate,
        tls_key=given.tls_key,
        fsync=given.fsync,
        partition_ranges=given.partition_ranges,
        enforce_throughput=given.enforce_throughput,
        region=given.region,
        consistency=given.consistency,
    )


async def _run(settings: ServerSettings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await serve(settings, stop)


def _configure_logs() -> None:
    logs.configure(
        level=logging.INFO,
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.format_exc_info,
            structlog.dev.ConsoleRenderer() if sys.stderr.isatty() else structlog.processors.JSONRenderer(),
        ],
    )


def main(arguments: list[str] | None = None) -> int:
    """Run; returns the exit code: 2 when it could not start."""
    settings = _parse(arguments)
    os.umask(PRIVATE_UMASK)
    _configure_logs()
    try:
        import uvloop  # noqa: PLC0415 - optional: where it is missing asyncio's own loop does
    except ImportError:
        factory = None
    else:
        factory = uvloop.new_event_loop
    try:
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(_run(settings))
    except StartupError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    gc.freeze()
    gc.enable()
    sys.exit(main())
