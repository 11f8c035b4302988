"""``python -m cloudscale.emulators.servicebus``: run the Service Bus emulator."""

from __future__ import annotations

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
import secrets
import signal
import sys
from pathlib import Path

from cloudscale.emulators import logs
from cloudscale.emulators.servicebus import certificate
from cloudscale.emulators.servicebus.authorization import Right, SharedAccessKey
from cloudscale.emulators.servicebus.description import QueueDescription
from cloudscale.emulators.servicebus.server import Ports, Settings, serve
from cloudscale.emulators.servicebus.turn import SyncPolicy
from cloudscale.errors import CloudScaleError
from cloudscale.private_files import PRIVATE_DIRECTORY, PRIVATE_UMASK, make_private, write_private

KEY_FILE = "shared-access-key"


def main(arguments: list[str] | None = None) -> int:
    """Run the emulator until SIGTERM or SIGINT; return the exit code."""
    options = _parser().parse_args(arguments)
    os.umask(PRIVATE_UMASK)
    logs.configure(level=logging.getLevelNamesMapping()[options.log_level.upper()])
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(_run(_settings(options)))
    except CloudScaleError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return 2
    return 0


async def _run(settings: Settings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)

    def ready(ports: Ports) -> None:
        scheme = "amqps" if settings.tls else "amqp"
        host = settings.host
        logs.announce(f"listening {scheme}://{host}:{ports.amqp} https://{host}:{ports.management}")

    await serve(settings, ready=ready, stop=stop)


def _loop_factory() -> type[asyncio.AbstractEventLoop] | None:
    try:
        import uvloop  # noqa: PLC0415 — optional: it has no wheels for some platforms
    except ImportError:
        return None
    return uvloop.Loop


def _settings(options: argparse.Namespace) -> Settings:
    directory: Path = options.data_dir
    try:
        directory.mkdir(mode=PRIVATE_DIRECTORY, parents=True, exist_ok=True)
        make_private(directory, names=("journal", "tls", KEY_FILE))
    except OSError as error:
        raise CloudScaleError(f"the data directory {directory} cannot be used: {error.strerror}") from error
    if options.tls_certificate is not None:
        files = certificate.Certificate(options.tls_certificate, options.tls_key or options.tls_certificate)
    else:
        files = certificate.issue(directory / "tls", options.tls_name)
    return Settings(
        data_directory=directory,
        key=SharedAccessKey(options.shared_access_key_name, _key(options.shared_access_key_file, directory)),
        certificate=files,
        host=options.host,
        port=options.port,
        management_port=options.management_port,
        queues=tuple(
            QueueDescription(name=name, max_size_bytes=options.max_queue_size_bytes) for name in options.queue
        ),
        sync=SyncPolicy(options.fsync),
        tls=options.tls,
        further_keys=tuple(_policy(text) for text in options.shared_access_policy),
    )


def _policy(text: str) -> SharedAccessKey:
    """Read ``NAME:RIGHTS:FILE``."""
    name, _, rest = text.partition(":")
    rights, _, file = rest.partition(":")
    try:
        granted = frozenset(Right(right) for right in rights.split(","))
    except ValueError as error:
        raise CloudScaleError(f"--shared-access-policy {text}: {error}; rights are {', '.join(Right)}") from None
    if not name or not file:
        raise CloudScaleError(f"--shared-access-policy {text}: give it as NAME:RIGHTS:FILE")
    return SharedAccessKey(name, _read_key(Path(file)), granted)


def _key(path: Path | None, directory: Path) -> str:
    """Read the key, or make one and keep it in the data directory."""
    if path is not None:
        return _read_key(path)
    own = directory / KEY_FILE
    if not own.exists():
        write_private(own, f"{secrets.token_urlsafe(32)}\n".encode())
    return own.read_text().strip()


def _read_key(path: Path) -> str:
    try:
        key = path.read_text().strip()
    except OSError as error:
        raise CloudScaleError(f"the key file {path} cannot be read: {error.strerror}") from error
    if not key:
        raise CloudScaleError(f"the key file {path} is empty: put a key in it")
    return key


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m cloudscale.emulators.servicebus", description=__doc__)
    parser.add_argument("--data-dir", type=Path, required=True, help="where messages, key and certificates lie")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=5672, help="AMQP port, 0 for any (default: %(default)s)")
    parser.add_argument(
        "--management-port", type=int, default=5300, help="HTTPS and HTTP port, 0 for any (default: %(default)s)"
    )
    parser.add_argument("--queue", action="append", default=[], metavar="NAME", help="queue to create if it is absent")
    parser.add_argument(
        "--max-queue-size-bytes",
        type=int,
        default=5 * 1024**3,
        help="quota of the queues that --queue creates (default: %(default)s)",
    )
    parser.add_argument(
        "--fsync",
        choices=[policy.value for policy in SyncPolicy],
        default=SyncPolicy.INTERVAL.value,
        help="when the disk has to have what was acknowledged: always before the answer, every 100 ms, or whenever "
        "the kernel likes; a killed process loses nothing with any of them (default: %(default)s)",
    )
    parser.add_argument("--shared-access-key-name", default="RootManageSharedAccessKey", metavar="NAME")
    parser.add_argument(
        "--shared-access-key-file",
        type=Path,
        metavar="FILE",
        help=f"file with the key (default: {KEY_FILE} in the data directory, made on the first start)",
    )
    parser.add_argument(
        "--shared-access-policy",
        action="append",
        default=[],
        metavar="NAME:RIGHTS:FILE",
        help=f"a further key with some rights only, separated by commas: {', '.join(Right)}; may be repeated",
    )
    parser.add_argument("--tls", action="store_true", help="speak TLS on the AMQP port as well")
    parser.add_argument("--tls-certificate", type=Path, metavar="FILE", help="certificate chain in PEM")
    parser.add_argument("--tls-key", type=Path, metavar="FILE", help="its key, if the file does not hold it")
    parser.add_argument(
        "--tls-name", action="append", default=[], metavar="NAME", help="further name in the generated certificate"
    )
    parser.add_argument("--log-level", choices=["debug", "info", "warning", "error"], default="info")
    return parser


if __name__ == "__main__":
    gc.freeze()
    gc.enable()
    sys.exit(main())
