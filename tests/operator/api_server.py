"""As much of the Kubernetes API as the operator uses, over HTTP and in memory, for its real client to talk to.

Server-side apply is a merge here, which is what it comes to with a single field manager.
"""

from __future__ import annotations

import copy
import itertools
import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from kubernetes.client import ApiClient, Configuration

from cloudscale.pipeline import GROUP, VERSION
from cloudscale_operator.kinds import KINDS

if TYPE_CHECKING:
    from collections.abc import Iterator

Manifest = dict[str, Any]


@dataclass
class ApiServer:
    """Stored objects by path, all requests that were made, and refusals (status by part of a path) to give instead."""

    url: str = ""
    groups: set[str] = field(default_factory=lambda: {kind.group_path for kind in KINDS})
    objects: dict[str, Manifest] = field(default_factory=dict)
    requests: list[tuple[str, str]] = field(default_factory=list)
    refusals: dict[str, int] = field(default_factory=dict)
    versions: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def client(self) -> ApiClient:
        """A client of this server."""
        configuration = Configuration()
        configuration.host = self.url
        return ApiClient(configuration)

    def store(self, path: str, manifest: Manifest) -> Manifest:
        """Put an object in place as an earlier request would have."""
        version = next(self.versions)
        metadata = {"uid": f"uid-{version}", "generation": 1, **manifest.get("metadata", {})}
        stored = {**manifest, "metadata": {**metadata, "resourceVersion": str(version), "managedFields": [{}]}}
        self.objects[path] = stored
        return copy.deepcopy(stored)

    def answer(self, method: str, path: str, body: Any) -> tuple[int, Manifest]:
        """Status and content of the answer to one request."""
        self.requests.append((method, path))
        if refused := next((status for part, status in self.refusals.items() if part in path), None):
            return refused, {"message": f"refused {path}"}
        if method == "GET":
            return self._get(path)
        if method == "POST":
            path = f"{path}/{next(self.versions)}"
            return 201, self.store(path, body)
        if method == "DELETE":
            if path not in self.objects:
                return 404, {"message": "not found"}
            return 200, self.objects.pop(path)
        return self._patch(path, body)

    def _get(self, path: str) -> tuple[int, Manifest]:
        if path in self.objects:
            return 200, self.objects[path]
        found = [{"kind": kind.kind} for kind in KINDS if kind.group_path == path and path in self.groups]
        return (200, {"resources": found}) if found else (404, {"message": "not found"})

    def _patch(self, path: str, body: Manifest) -> tuple[int, Manifest]:
        target = path.removesuffix("/status")
        former = self.objects.get(target, {})
        expected = body.get("metadata", {}).get("resourceVersion")
        if expected is not None and expected != former.get("metadata", {}).get("resourceVersion"):
            return 409, {"message": "the object has been modified"}
        merged = _merged(former, body)
        if merged["metadata"].get("deletionTimestamp") and not merged["metadata"].get("finalizers"):
            del self.objects[target]
            return 200, merged
        return 200, self.store(target, merged)

    def names(self, kind: str) -> list[str]:
        """Names of the stored objects of a kind."""
        return sorted(item["metadata"]["name"] for item in self.objects.values() if item.get("kind") == kind)

    def add_pipeline(self, name: str = "example", *, namespace: str = "shop", **parts: Any) -> Manifest:
        """Put a pipeline in place; the stored object."""
        path = f"/apis/{GROUP}/{VERSION}/namespaces/{namespace}/eventpipelines/{name}"
        metadata = {"name": name, "namespace": namespace, **parts.pop("metadata", {})}
        return self.store(
            path, {"apiVersion": f"{GROUP}/{VERSION}", "kind": "EventPipeline", "metadata": metadata} | parts
        )

    def pipeline(self, name: str = "example", *, namespace: str = "shop") -> Manifest | None:
        """A stored pipeline."""
        return self.objects.get(f"/apis/{GROUP}/{VERSION}/namespaces/{namespace}/eventpipelines/{name}")


def _merged(former: Any, change: Any) -> Any:
    if isinstance(former, dict) and isinstance(change, dict):
        return {key: _merged(former.get(key), change.get(key, former.get(key))) for key in former | change}
    return copy.deepcopy(change)


@contextmanager
def api_server() -> Iterator[ApiServer]:
    """A running server."""
    state = ApiServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            body = json.loads(self.rfile.read(length) or b"null")
            status, content = state.answer(self.command, urlsplit(self.path).path, body)
            text = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = do_PATCH = do_DELETE = _serve  # noqa: N815 - names of the base class

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield state
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def now() -> str:
    """The present moment as the API server writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
