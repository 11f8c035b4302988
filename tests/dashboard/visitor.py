"""A browser as far as signing in goes: it keeps cookies and follows nothing by itself."""

from __future__ import annotations

import http.client
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec
from tests.servers.answer import Answer
from tests.servers.dashboard import OWN_PAGE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.servers.scripted_provider import ScriptedProvider

SESSION = "cloudscale-session"
ATTEMPT = "cloudscale-sign-in"


@dataclass
class Visitor:
    """Somebody's browser at the dashboard of ``url``."""

    url: str
    cookies: dict[str, str] = field(default_factory=dict)
    attributes: dict[str, str] = field(default_factory=dict)
    """What each cookie was set with, in lower case."""

    def get(self, path: str) -> Answer:
        """Open an address."""
        return self.send("GET", path)

    def send(self, method: str, path: str, content: object = None, headers: Mapping[str, str] | None = None) -> Answer:
        """Send a request and take its cookies."""
        given = dict(headers or {})
        if self.cookies:
            given["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        body = None if content is None else msgspec.json.encode(content)
        connection = http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=60)
        try:
            connection.request(method, path, body, given)
            response = connection.getresponse()
            for header in response.headers.get_all("set-cookie", []):
                self._take(header)
            headers = {name.lower(): value for name, value in response.headers.items()}
            return Answer(response.status, headers, response.read())
        finally:
            connection.close()

    def leave(self, to: str = "") -> str:
        """Start to sign in: where the dashboard sends the browser."""
        answer = self.get(f"/sign-in/start{to}")
        assert answer.status == 303, answer.body
        return answer.headers["location"]

    def sign_in(self, provider: ScriptedProvider) -> Answer:
        """Sign in with the provider, all the way."""
        return self.get(provider.back(self.leave()))

    def sign_out(self) -> Answer:
        """End the session."""
        return self.send("DELETE", "/api/session", headers=OWN_PAGE)

    def is_signed_in(self) -> bool:
        """Whether the dashboard shows itself."""
        return self.get("/api/session").status == 200

    def _take(self, header: str) -> None:
        for name, morsel in SimpleCookie(header).items():
            self.attributes[name] = header.lower()
            if morsel["max-age"] == "0":
                self.cookies.pop(name, None)
            else:
                self.cookies[name] = morsel.value
