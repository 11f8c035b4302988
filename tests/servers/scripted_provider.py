"""A sign-in provider in this process that does what a test says: the right thing, or one thing wrong."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import RSAKey

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CLIENT_ID = "dashboard"
CLIENT_SECRET = "the client's secret: with a colon & more"
CALLBACK = "/sign-in/callback"

Claims = dict[str, Any]
Form = dict[str, str]


@dataclass(frozen=True)
class HttpAnswer:
    """What an endpoint answers."""

    status: int = 200
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=dict)


def answer_json(content: object, status: int = 200) -> HttpAnswer:
    """An answer in JSON."""
    return HttpAnswer(status, json.dumps(content).encode(), {"content-type": "application/json"})


def refusal(error: str, description: str = "", status: int = 400) -> HttpAnswer:
    """What a token endpoint answers when it refuses (RFC 6749, section 5.2)."""
    return answer_json({"error": error, "error_description": description}, status)


@dataclass
class _Code:
    nonce: str
    challenge: str
    redirect_uri: str


@dataclass
class ScriptedProvider:
    """The provider. Everything after ``issuer`` may be changed by a test; :meth:`mend` puts it right again."""

    issuer: str
    person: Claims = field(default_factory=dict)
    """What the provider knows of whoever signs in."""
    changed: Claims = field(default_factory=dict)
    """Claims that the ID token has instead of the right ones; without those that are None."""
    sign: Callable[[Claims], str] | None = None
    change_answer: Callable[[dict[str, Any]], HttpAnswer] | None = None
    """Makes the token endpoint's answer from the right one."""
    fault: HttpAnswer | None = None
    """What the token endpoint answers to everything."""
    expires_in: int | None = 300
    gives_refresh_tokens: bool = True
    tells_at_renewal: bool = True
    userinfo: Claims | None = None
    """What the UserInfo endpoint says, if not what is known of the person."""
    requests: list[tuple[str, Form]] = field(default_factory=list)
    """Paths and forms of the requests to the token and UserInfo endpoints."""
    key: RSAKey = field(default_factory=lambda: RSAKey.generate_key(2048, {"kid": "one"}))
    _codes: dict[str, _Code] = field(default_factory=dict)
    _refresh_tokens: dict[str, str] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def mend(self) -> None:
        """Do everything right again."""
        self.person = {"sub": "ann", "preferred_username": "ann@example.com", "groups": ["operators", "others"]}
        self.changed, self.sign, self.change_answer, self.fault = {}, None, None, None
        self.expires_in, self.gives_refresh_tokens, self.tells_at_renewal, self.userinfo = 300, True, True, None
        self.requests.clear()

    def back(self, authorization_url: str, **changed: str | None) -> str:
        """Where the provider sends the browser when the person has signed in: path and query.

        Args:
            authorization_url: where the dashboard has sent the browser.
            changed: parameters that the answer has instead of the right ones; without those that are None.
        """
        asked = dict(parse_qsl(urlsplit(authorization_url).query))
        assert asked["code_challenge_method"] == "S256"
        assert asked["response_type"] == "code"
        code = secrets.token_urlsafe(16)
        with self._lock:
            self._codes[code] = _Code(asked["nonce"], asked["code_challenge"], asked["redirect_uri"])
        parameters = {"code": code, "state": asked["state"], "iss": self.issuer} | changed
        assert urlsplit(asked["redirect_uri"]).path == CALLBACK
        return f"{CALLBACK}?{urlencode({name: value for name, value in parameters.items() if value is not None})}"

    def renewals(self) -> int:
        """How often a refresh token was sent."""
        return sum(form.get("grant_type") == "refresh_token" for _, form in self.requests)

    def signed(self, claims: Claims) -> str:
        """The token that says so."""
        return jwt.encode({"alg": "RS256", "kid": "one"}, claims, self.key)

    def answer(self, method: str, path: str, form: Form, authorization: str) -> HttpAnswer:
        """Answer a request."""
        match method, path:
            case "GET", "/.well-known/openid-configuration":
                return answer_json(self._metadata())
            case "GET", "/jwks":
                return answer_json({"keys": [self.key.as_dict(private=False)]})
            case "GET", "/userinfo":
                self.requests.append((path, form))
                return answer_json(self.person if self.userinfo is None else self.userinfo)
            case "POST", "/token":
                with self._lock:
                    self.requests.append((path, form))
                    return self.fault or self._token(form, authorization)
        return HttpAnswer(404)

    def _metadata(self) -> dict[str, Any]:
        return {
            "issuer": self.issuer,
            "jwks_uri": f"{self.issuer}/jwks",
            "authorization_endpoint": f"{self.issuer}/authorize?kind=page",
            "token_endpoint": f"{self.issuer}/token",
            "userinfo_endpoint": f"{self.issuer}/userinfo",
            "end_session_endpoint": f"{self.issuer}/end",
            "authorization_response_iss_parameter_supported": True,
        }

    def _token(self, form: Form, authorization: str) -> HttpAnswer:
        pair = "dashboard:the+client%27s+secret%3A+with+a+colon+%26+more"
        if authorization != f"Basic {base64.b64encode(pair.encode()).decode()}":
            return refusal("invalid_client", status=401)
        if form["grant_type"] == "authorization_code":
            code = self._codes.pop(form["code"], None)
            digest = hashlib.sha256(form["code_verifier"].encode()).digest()
            challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
            if code is None or (code.challenge, code.redirect_uri) != (challenge, form["redirect_uri"]):
                return refusal("invalid_grant", "this code does not hold")
            nonce = code.nonce
        else:
            found = self._refresh_tokens.pop(form["refresh_token"], None)
            if found is None:
                return refusal("invalid_grant", "this refresh token was used")
            nonce = found
        return self._tokens(nonce, is_renewal=form["grant_type"] == "refresh_token")

    def _tokens(self, nonce: str, *, is_renewal: bool) -> HttpAnswer:
        answer: dict[str, Any] = {"access_token": secrets.token_urlsafe(16), "token_type": "Bearer"}
        if self.expires_in is not None:
            answer["expires_in"] = self.expires_in
        if self.gives_refresh_tokens:
            answer["refresh_token"] = secrets.token_urlsafe(16)
            self._refresh_tokens[answer["refresh_token"]] = nonce
        if self.tells_at_renewal or not is_renewal:
            now = int(time.time())
            claims = self.person | {"iss": self.issuer, "aud": CLIENT_ID, "exp": now + 60, "iat": now, "nonce": nonce}
            claims = {name: value for name, value in (claims | self.changed).items() if value is not None}
            answer["id_token"] = (self.sign or self.signed)(claims)
        return self.change_answer(answer) if self.change_answer else answer_json(answer)


@contextmanager
def scripted_provider() -> Iterator[ScriptedProvider]:
    """Run a provider on a free port for as long as the context lasts."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._respond("GET", {})

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", "0")))
            self._respond("POST", dict(parse_qsl(body.decode())))

        def _respond(self, method: str, form: Form) -> None:
            answer = provider.answer(method, urlsplit(self.path).path, form, self.headers.get("authorization", ""))
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    provider = ScriptedProvider(f"http://127.0.0.1:{server.server_port}")
    provider.mend()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield provider
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
