"""A small HTTP client that sends exactly the bytes it is given."""

from __future__ import annotations

import http.client
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

TIMEOUT_SECONDS = 30


@dataclass(frozen=True)
class Response:
    """An answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The decoded body."""
        return msgspec.json.decode(self.body)


@dataclass(frozen=True)
class Client:
    """Sends requests to a service on this machine."""

    port: int
    address: str = "127.0.0.1"
    """Where its connections come from."""

    def request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | Sequence[tuple[str, str]] = (),
    ) -> Response:
        """Send one request on a connection of its own; ``headers`` may have a line twice, and any characters."""
        connection = http.client.HTTPConnection(
            "127.0.0.1", self.port, timeout=TIMEOUT_SECONDS, source_address=(self.address, 0)
        )
        try:
            connection.putrequest(method, path)
            for name, value in headers if isinstance(headers, Sequence) else headers.items():
                connection.putheader(name, value.encode())
            if body is not None or method in ("POST", "PUT"):
                connection.putheader("Content-Length", str(len(body or b"")))
            connection.endheaders(body)
            answer = connection.getresponse()
            named = {name.lower(): value for name, value in answer.getheaders()}
            return Response(answer.status, named, answer.read())
        finally:
            connection.close()

    def post(self, body: bytes | object, headers: dict[str, str] | None = None, path: str = "/api/events") -> Response:
        """Post an event, as JSON unless it is bytes already."""
        content = body if isinstance(body, bytes) else msgspec.json.encode(body)
        return self.request("POST", path, content, {"Content-Type": "application/json", **(headers or {})})

    def post_batch(self, body: bytes | object, headers: dict[str, str] | None = None) -> Response:
        """Post a batch of events."""
        return self.post(body, headers, path="/api/events/batch")

    def post_lines(self, body: object, lines: Sequence[tuple[str, str]]) -> Response:
        """Post an event with lines of headers as they are, the same name twice included."""
        return self.request("POST", "/api/events", msgspec.json.encode(body), lines)


def page_view(**fields: object) -> dict[str, Any]:
    """A good event, new unless ``fields`` say otherwise."""
    return {
        "eventType": "page_view",
        "eventId": uuid.uuid4().hex,
        "tenantId": "test",
        "url": "https://example.com/",
        **fields,
    }


def nobodys(**fields: object) -> dict[str, Any]:
    """A good event that names no tenant, unless ``fields`` do."""
    event = page_view(**fields)
    return {name: value for name, value in event.items() if name != "tenantId" or "tenantId" in fields}


def bearer(key: str) -> dict[str, str]:
    """The header that sends a key or token."""
    return {"Authorization": f"Bearer {key}"}
