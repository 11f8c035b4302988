"""An ASGI application behind the RSGI server gets and gives what HTTP carries."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from cloudscale.ingestion.bridge import serve_asgi

if TYPE_CHECKING:
    from starlette.types import Message, Receive, Scope, Send


@dataclass
class RequestHead:
    """What Granian tells of a request."""

    method: str = "POST"
    path: str = "/a b"
    query_string: str = "c=d"
    client: str = "192.0.2.1:4711"
    scheme: str = "http"
    http_version: str = "1.1"
    headers: dict[str, str] = field(default_factory=lambda: {"accept": "x/ü"})


class Exchange:
    """Granian's side of one request: gives the body, takes the answer."""

    def __init__(self, body: bytes = b"") -> None:
        self.body = body
        self.answers: list[tuple[int, list[tuple[str, str]], bytes]] = []

    async def __call__(self) -> bytes:
        return self.body

    def response_bytes(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.answers.append((status, headers, body))


async def ask(application: Any, exchange: Exchange, **head: Any) -> tuple[int, list[tuple[str, str]], bytes]:
    await serve_asgi(application, RequestHead(**head), exchange)  # type: ignore[arg-type] # what it uses of both
    (answer,) = exchange.answers
    return answer


async def test_the_application_sees_the_request() -> None:
    seen: list[Any] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append((scope, await receive(), await receive()))
        await send({"type": "http.response.start", "status": 204, "headers": []})

    await ask(application, Exchange(b"content"))

    scope, body, end = seen[0]
    assert (scope["method"], scope["path"], scope["raw_path"]) == ("POST", "/a b", b"/a b")
    assert (scope["query_string"], scope["client"]) == (b"c=d", ("192.0.2.1", 4711))
    assert scope["headers"] == [(b"accept", "x/ü".encode("latin-1"))]
    assert body == {"type": "http.request", "body": b"content", "more_body": False}
    assert end == {"type": "http.disconnect"}


@pytest.mark.parametrize("client", ["", "unix"])
async def test_a_peer_without_a_port_is_no_client(client: str) -> None:
    clients: list[object] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        clients.append(scope["client"])

    await ask(application, Exchange(), client=client)

    assert clients == [None]


async def test_the_parts_of_an_answer_are_put_together() -> None:
    messages: list[Message] = [
        {"type": "http.response.start", "status": 201, "headers": [(b"x-name", b"\xfc")]},
        {"type": "http.response.body", "body": b"one ", "more_body": True},
        {"type": "http.response.body", "body": b"two"},
    ]

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        for message in messages:
            await send(message)

    assert await ask(application, Exchange()) == (201, [("x-name", "ü")], b"one two")


async def test_an_application_that_says_nothing_is_a_server_error() -> None:
    async def application(scope: Scope, receive: Receive, send: Send) -> None: ...

    assert await ask(application, Exchange()) == (500, [], b"")


async def test_an_error_that_the_application_has_answered_is_answered_and_raised() -> None:
    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 503, "headers": []})
        await send({"type": "http.response.body", "body": b"sorry"})
        raise RuntimeError

    exchange = Exchange()
    with pytest.raises(RuntimeError):
        await ask(application, exchange)
    assert exchange.answers == [(503, [], b"sorry")]
