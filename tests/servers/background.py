"""``cloudscale run`` as a child process, for tests and benchmarks of the command line: it stops as Ctrl-C does."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from cloudscale.errors import BackendUnavailableError, ConfigurationError
from cloudscale.local.directory import RunRecord, read_record
from cloudscale.local.instance import Instance, find_instance
from cloudscale.local.plan import LOOPBACK
from cloudscale.local.ports import find_free_ports
from cloudscale.private_files import PRIVATE_DIRECTORY, open_private

if TYPE_CHECKING:
    from pathlib import Path

READY_SECONDS = 90.0
STOP_SECONDS = 120.0
_POLL_SECONDS = 0.1


@dataclass(kw_only=True)
class BackgroundRun:
    """A pipeline that runs from ``with`` to the end of its block, on free ports.

    Raises:
        BackendUnavailableError: it did not become ready, or did not stop cleanly.
    """

    pipeline_file: Path
    data_directory: Path
    arguments: tuple[str, ...] = ()
    """Further options of ``cloudscale run``."""
    process: subprocess.Popen[bytes] = field(init=False)

    def __enter__(self) -> Self:
        self.data_directory.mkdir(mode=PRIVATE_DIRECTORY, parents=True, exist_ok=True)
        port, dashboard_port = find_free_ports(LOOPBACK, 2)
        with open_private(self.output_path, "wb") as output:
            self.process = subprocess.Popen(
                (
                    *(sys.executable, "-m", "cloudscale.commands.cli", "run", str(self.pipeline_file)),
                    *("--data-dir", str(self.data_directory)),
                    *("--port", str(port), "--dashboard-port", str(dashboard_port)),
                    *self.arguments,
                ),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            self._wait_until_ready()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def output_path(self) -> Path:
        """What the command prints."""
        return self.data_directory / "run.out"

    @property
    def output(self) -> str:
        """What the command has printed so far."""
        return self.output_path.read_text(errors="replace")

    @property
    def record(self) -> RunRecord:
        """Addresses and settings of the run."""
        return read_record(self.data_directory)

    @property
    def instance(self) -> Instance:
        """The pipeline as other commands find it."""
        return find_instance(self.data_directory, environment={})

    def process_ids(self) -> dict[str, int]:
        """The process that runs now under each name; a restart changes it."""
        return {path.stem: int(path.read_text()) for path in (self.data_directory / "logs").glob("*.pid")}

    def stop(self) -> None:
        """Drain and stop, as Ctrl-C does; nothing happens if it has been stopped already."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        try:
            code = self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            raise BackendUnavailableError(f"the run did not stop in {STOP_SECONDS:.0f} s: {self.output}") from None
        if code not in (0, -signal.SIGKILL):
            raise BackendUnavailableError(f"the run ended with exit code {code}: {self.output}")

    def kill(self) -> None:
        """SIGKILL, as a crash of the supervisor would be; its watchdog ends its processes."""
        self.process.kill()
        self.process.wait(STOP_SECONDS)

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while True:
            code = self.process.poll()
            if code is not None:
                raise BackendUnavailableError(f"the run ended with exit code {code}: {self.output}")
            try:
                if self.record.pid == self.process.pid:
                    return
            except ConfigurationError:
                if time.monotonic() > deadline:
                    raise BackendUnavailableError(f"not ready after {READY_SECONDS:.0f} s: {self.output}") from None
            time.sleep(_POLL_SECONDS)
