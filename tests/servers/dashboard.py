"""A dashboard as a process, with access tokens of its own, beside a pipeline that runs."""

from __future__ import annotations

import contextlib
import os
import sys
from dataclasses import dataclass
from functools import partial
from http.client import HTTPConnection, HTTPResponse
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError
from urllib.request import HTTPHandler, Request, build_opener

import msgspec
from tests.servers.answer import Answer
from tests.servers.process import AnsweringServer, answers_ok, running
from tests.servers.redis import redis_server

from cloudscale.local.ports import find_free_ports
from cloudscale.settings import Settings, as_environment

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

OWN_PAGE = {"X-Requested-With": "cloudscale"}


@dataclass
class DashboardServer(AnsweringServer):
    """A running dashboard, beside the pipeline of ``settings``; open to read without ``tokens``."""

    settings: Settings
    tokens: Sequence[dict[str, Any]]
    port: int = 0

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        """The dashboard, with its tokens written down."""
        self._token_file.write_bytes(msgspec.json.encode(self.tokens))
        return [sys.executable, "-m", "cloudscale.dashboard"]

    def environment(self) -> dict[str, str]:
        """Its settings, with its port or a free one."""
        if not self.port:
            (self.port,) = find_free_ports("127.0.0.1", 1)
        tokens = str(self._token_file) if self.tokens else ""
        settings = msgspec.structs.replace(self.settings, port=self.port, dashboard_token_file=tokens)
        return {**os.environ, **as_environment(settings)}

    def is_ready(self) -> bool:
        """Whether it is healthy."""
        return answers_ok(f"{self.url}/health")

    @property
    def _token_file(self) -> Path:
        return self.directory / "tokens.json"

    def call(
        self,
        path: str,
        *,
        token: str | None = None,
        method: str = "GET",
        content: object = None,
        headers: Mapping[str, str] | None = None,
        address: str = "127.0.0.1",
    ) -> Answer:
        """Send a request, ``content`` as JSON unless it is bytes; every answer is returned, whatever its status.

        ``address`` is where it comes from: any of 127.0.0.0/8. Wrong keys are counted for each.
        """
        given = dict(headers or {})
        if token is not None:
            given["Authorization"] = f"Bearer {token}"
        data = content if content is None or isinstance(content, bytes) else msgspec.json.encode(content)
        request = Request(self.url + path, data=data, headers=given, method=method)  # noqa: S310 - our own
        try:
            with build_opener(_From(address)).open(request, timeout=60) as response:
                return Answer(response.status, _lower(response.headers.items()), response.read())
        except HTTPError as error:
            with error:
                return Answer(error.code, _lower(error.headers.items()), error.read())


class _From(HTTPHandler):
    """Connects from an address of this machine."""

    def __init__(self, address: str) -> None:
        super().__init__()
        self._address = address

    def http_open(self, request: Request) -> HTTPResponse:
        """Send the request."""
        return self.do_open(partial(HTTPConnection, source_address=(self._address, 0)), request)


def _lower(headers: Any) -> dict[str, str]:
    return {name.lower(): value for name, value in headers}


@contextlib.contextmanager
def lone_settings(directory: Path) -> Iterator[Settings]:
    """The settings of a pipeline that has a Redis, and neither a broker nor a store."""
    document = {"apiVersion": "cloudscale.io/v1alpha1", "kind": "EventPipeline", "metadata": {"name": "alone"}}
    (directory / "pipeline.json").write_bytes(msgspec.json.encode(document))
    with redis_server(directory / "redis") as redis:
        yield Settings(pipeline_file=str(directory / "pipeline.json"), redis_url=redis.url)


@contextlib.contextmanager
def dashboard_server(
    directory: Path, settings: Settings, *, tokens: Sequence[dict[str, Any]] = ()
) -> Iterator[DashboardServer]:
    """Run a dashboard on a free port for as long as the context lasts, open to read without ``tokens``."""
    with running(DashboardServer(directory, settings, tokens)) as server:
        yield server
