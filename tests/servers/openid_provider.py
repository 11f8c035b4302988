"""A provider of OpenID Connect as a process, for tests that sign somebody in or need an issuer that is not our own.

It signs ID tokens with RS256 and knows everybody: any client may ask, and a user is made when somebody signs in as one.
Its access tokens are no JWTs.
"""

from __future__ import annotations

import http.client
import json
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit

from tests.servers.process import ListeningServer, running

if TYPE_CHECKING:
    from collections.abc import Iterator

PROGRAM = Path(__file__).with_name("openid_program.py")
REQUEST_SECONDS = 10


@dataclass
class OpenIdProvider(ListeningServer):
    """The provider. ``issuer`` has no trailing slash."""

    issuer: str = field(init=False, default="")

    def command(self) -> list[str]:
        """The program on a free port, or on the one that it had."""
        port = str(urlsplit(self.issuer).port or 0)
        # -P: beside the program there are modules that have the names of packages.
        return [sys.executable, "-P", str(PROGRAM), port]

    def listens_at(self, addresses: list[str]) -> None:
        """Take note of the issuer."""
        (self.issuer,) = addresses

    def set_claims(self, subject: str, claims: dict[str, object]) -> None:
        """Give a user further claims (``groups``, ``tenant_id``), which its next ID token has."""
        self._ask("PUT", f"/users/{subject}", json.dumps(claims), "application/json")

    def sign_in(self, authorization_url: str, subject: str) -> str:
        """Do what a person does on the provider's page: sign in as ``subject``.

        Args:
            authorization_url: where the client has sent the browser.
            subject: who signs in.

        Returns:
            Where the provider sends the browser back to: the client's redirect URI with code and state.
        """
        parts = urlsplit(authorization_url)
        assert f"{parts.scheme}://{parts.netloc}" == self.issuer, authorization_url
        target = f"{parts.path}?{parts.query}"
        return self._ask("POST", target, urlencode({"sub": subject}), "application/x-www-form-urlencoded")

    def _ask(self, method: str, target: str, body: str, content_type: str) -> str:
        """Where the answer redirects to, if it does."""
        connection = http.client.HTTPConnection(urlsplit(self.issuer).netloc, timeout=REQUEST_SECONDS)
        try:
            connection.request(method, target, body, {"Content-Type": content_type})
            response = connection.getresponse()
            text = response.read().decode()
            assert response.status < 400, text
            return response.headers.get("Location", "")
        finally:
            connection.close()


@contextmanager
def openid_provider(directory: Path) -> Iterator[OpenIdProvider]:
    """Run a provider on a free port for as long as the context lasts."""
    with running(OpenIdProvider(directory)) as provider:
        yield provider
