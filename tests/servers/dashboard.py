"""A dashboard as a process, with access tokens of its own, beside a pipeline that runs."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import msgspec
from tests.waiting import wait_until_sync

from cloudscale.local.ports import find_free_ports
from cloudscale.settings import as_environment

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from cloudscale.settings import Settings

START_TIMEOUT = timedelta(seconds=90)
STOP_TIMEOUT = timedelta(seconds=20)

OWN_PAGE = {"X-Requested-With": "cloudscale"}


@dataclass(frozen=True)
class Answer:
    """A response; ``headers`` has its names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, decoded."""
        return msgspec.json.decode(self.body)


@dataclass(frozen=True)
class DashboardServer:
    """A running dashboard."""

    url: str
    process: subprocess.Popen[bytes]

    def call(
        self,
        path: str,
        *,
        token: str | None = None,
        method: str = "GET",
        content: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send a request, ``content`` as JSON unless it is bytes; every answer is returned, whatever its status."""
        given = dict(headers or {})
        if token is not None:
            given["Authorization"] = f"Bearer {token}"
        data = content if content is None or isinstance(content, bytes) else msgspec.json.encode(content)
        request = Request(self.url + path, data=data, headers=given, method=method)  # noqa: S310 - our own
        try:
            with urlopen(request, timeout=60) as response:  # noqa: S310 - our own
                return Answer(response.status, _lower(response.headers.items()), response.read())
        except HTTPError as error:
            with error:
                return Answer(error.code, _lower(error.headers.items()), error.read())


def _lower(headers: Any) -> dict[str, str]:
    return {name.lower(): value for name, value in headers}


@contextlib.contextmanager
def dashboard_server(
    directory: Path, settings: Settings, *, tokens: Sequence[dict[str, Any]] = ()
) -> Iterator[DashboardServer]:
    """Run a dashboard on a free port for as long as the context lasts, open to read without ``tokens``."""
    directory.mkdir(parents=True, exist_ok=True)
    token_file = directory / "tokens.json"
    token_file.write_bytes(msgspec.json.encode(tokens))
    (port,) = find_free_ports("127.0.0.1", 1)
    told = msgspec.structs.replace(settings, port=port, dashboard_token_file=str(token_file) if tokens else "")
    with (directory / "dashboard.log").open("ab") as log:
        command = [sys.executable, "-m", "cloudscale.dashboard"]
        process = subprocess.Popen(command, env={**os.environ, **as_environment(told)}, stdout=log, stderr=log)
    server = DashboardServer(f"http://127.0.0.1:{port}", process)

    def answers() -> bool:
        assert process.poll() is None, (directory / "dashboard.log").read_text()
        try:
            return server.call("/health").status == 200
        except (URLError, OSError):
            return False

    try:
        wait_until_sync(answers, within=START_TIMEOUT)
        yield server
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(STOP_TIMEOUT.total_seconds())
