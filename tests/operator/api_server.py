"""As much of the Kubernetes API as the operator uses, over HTTP and in memory, for its real client to talk to.

Server-side apply merges, and removes what its manager has applied before, does not apply now, and shares with nobody.
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
from urllib.parse import parse_qs, urlsplit

from kubernetes.client import ApiClient, Configuration

from cloudscale.pipeline import GROUP, VERSION
from cloudscale_operator.kinds import KINDS

if TYPE_CHECKING:
    from collections.abc import Iterator

Manifest = dict[str, Any]
Field = tuple[str, ...]


@dataclass
class ApiServer:
    """Stored objects by path, all requests, and refusals (status by part of a method and path) to give instead."""

    url: str = ""
    groups: set[str] = field(default_factory=lambda: {kind.group_path for kind in KINDS})
    objects: dict[str, Manifest] = field(default_factory=dict)
    requests: list[tuple[str, str]] = field(default_factory=list)
    page: int = 1_000_000
    """Most objects in one answer to a list."""
    refusals: dict[str, int] = field(default_factory=dict)
    owned: dict[tuple[str, str], set[Field]] = field(default_factory=dict)
    """Fields that were applied, by path of the object and field manager."""
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
        managers = {manager: fields for (owned, manager), fields in self.owned.items() if owned == path}
        managed = [
            {"manager": manager, "operation": "Apply", "fieldsV1": _fields_v1(fields)}
            for manager, fields in managers.items()
        ]
        stored = {**manifest, "metadata": {**metadata, "resourceVersion": str(version), "managedFields": managed}}
        self.objects[path] = stored
        return copy.deepcopy(stored)

    def answer(self, method: str, path: str, body: Any, query: dict[str, list[str]]) -> tuple[int, Manifest]:
        """Status and content of the answer to one request."""
        self.requests.append((method, path))
        if refused := next((status for part, status in self.refusals.items() if part in f"{method} {path}"), None):
            return refused, {"message": f"refused {path}"}
        if method == "GET":
            return self._get(path, query)
        if method == "POST" and path.endswith("/token"):
            account, (audience,) = path.split("/")[-2], body["spec"]["audiences"]
            return 201, {**body, "status": {"token": f"token of {account} for {audience}"}}
        if method == "POST":
            # Events have no name of their own.
            path = f"{path}/{body['metadata'].get('name') or next(self.versions)}"
            if path in self.objects:
                return 409, {"message": "already exists"}
            return 201, self.store(path, body)
        if method == "DELETE":
            if path not in self.objects:
                return 404, {"message": "not found"}
            return 200, self.remove(path)
        manager = query["fieldManager"][0] if body.get("kind") and not path.endswith("/status") else ""
        return self._patch(path, body, manager)

    def remove(self, path: str) -> Manifest:
        """Take an object away, and the record of who applied what of it."""
        self.owned = {key: fields for key, fields in self.owned.items() if key[0] != path}
        return self.objects.pop(path)

    def _get(self, path: str, query: dict[str, list[str]]) -> tuple[int, Manifest]:
        if path in self.objects:
            return 200, self.objects[path]
        if path in ("/api", "/apis"):
            # What a watcher asks first: there is nothing here to watch.
            return 200, {"versions": [], "groups": []}
        if "labelSelector" in query or "limit" in query:
            return 200, self._page(path, query)
        found = [{"kind": kind.kind} for kind in KINDS if kind.group_path == path and path in self.groups]
        return (200, {"resources": found}) if found else (404, {"message": "not found"})

    def _page(self, path: str, query: dict[str, list[str]]) -> Manifest:
        root, _, plural = path.rpartition("/")
        labels = [label.split("=") for label in query.get("labelSelector", [""])[0].split(",") if label]
        fields = [field.split("=") for field in query.get("fieldSelector", [""])[0].split(",") if field]
        involved = [(name.removeprefix("involvedObject."), value) for name, value in fields]
        found = [
            {name: value for name, value in item.items() if name not in ("kind", "apiVersion")}
            for where, item in self.objects.items()
            if where.startswith(f"{root}/") and where.split("/")[-2] == plural
            if all(item["metadata"].get("labels", {}).get(name) == value for name, value in labels)
            if all(item.get("involvedObject", {}).get(name) == value for name, value in involved)
        ]
        start = int(query.get("continue", ["0"])[0])
        end = start + min(int(query["limit"][0]), self.page)
        return {"items": found[start:end], "metadata": {"continue": str(end)} if end < len(found) else {}}

    def _patch(self, path: str, body: Manifest, manager: str) -> tuple[int, Manifest]:
        target = path.removesuffix("/status")
        former = self.objects.get(target, {})
        if not former and not manager:
            return 404, {"message": "not found"}
        expected = body.get("metadata", {}).get("resourceVersion")
        if former and expected is not None and expected != former["metadata"]["resourceVersion"]:
            return 409, {"message": "the object has been modified"}
        merged = _merged(former, body)
        if manager:
            fields = set(_fields(body))
            given_up = self.owned.get((target, manager), set()) - fields
            self.owned[target, manager] = fields
            for each in given_up - set().union(*(kept for (where, _), kept in self.owned.items() if where == target)):
                _remove(merged, each)
        if merged["metadata"].get("deletionTimestamp") and not merged["metadata"].get("finalizers"):
            self.remove(target)
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


def _fields(body: Manifest, above: Field = ()) -> Iterator[Field]:
    for name, value in body.items():
        if isinstance(value, dict) and value:
            yield from _fields(value, (*above, name))
        else:
            yield (*above, name)


def _fields_v1(fields: set[Field]) -> Manifest:
    tree: Manifest = {}
    for each in fields:
        branch = tree
        for name in each:
            branch = branch.setdefault(f"f:{name}", {})
    return tree


def _remove(body: Manifest, path: Field) -> None:
    for name in path[:-1]:
        body = body.get(name, {})
    body.pop(path[-1], None)


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
            url = urlsplit(self.path)
            status, content = state.answer(self.command, url.path, body, parse_qs(url.query))
            text = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
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
