"""An issuer of tokens on 127.0.0.1 that does what a test says: signs anything, changes its keys, fails, redirects.

Tokens are put together here by hand, so that a test can also make those which no library would.
"""

from __future__ import annotations

import base64
import contextlib
import json
import threading
from collections import Counter
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

if TYPE_CHECKING:
    from collections.abc import Iterator

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey
DISCOVERY = "/.well-known/openid-configuration"
KEYS = "/keys"


def base64url(value: bytes) -> str:
    """As all parts of a token are written."""
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


@cache
def rsa_key(name: str, bits: int = 2048) -> rsa.RSAPrivateKey:
    """An RSA key, made once for each name."""
    return rsa.generate_private_key(65537, bits)


def number(value: int, size: int) -> str:
    """A number as members of keys have it."""
    return base64url(value.to_bytes(size, "big"))


def public_jwk(key: PrivateKey, **members: object) -> dict[str, Any]:
    """The public key as an issuer lists it."""
    if isinstance(key, rsa.RSAPrivateKey):
        public = key.public_key().public_numbers()
        own = {"kty": "RSA", "n": number(public.n, (key.key_size + 7) // 8), "e": number(public.e, 3)}
    elif isinstance(key, ec.EllipticCurvePrivateKey):
        point, size = key.public_key().public_numbers(), (key.key_size + 7) // 8
        curve = {256: "P-256", 384: "P-384"}[key.key_size]
        own = {"kty": "EC", "crv": curve, "x": number(point.x, size), "y": number(point.y, size)}
    else:
        curve = "Ed25519" if isinstance(key, ed25519.Ed25519PrivateKey) else "Ed448"
        own = {"kty": "OKP", "crv": curve, "x": base64url(key.public_key().public_bytes_raw())}
    return {**own, **members}


def signature_of(key: PrivateKey, signed: bytes, *, rsa_hash: hashes.HashAlgorithm | None = None) -> bytes:
    """RS256 (or with another hash), ES256 or ES384, or EdDSA, as the key has it."""
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(signed, padding.PKCS1v15(), rsa_hash or hashes.SHA256())
    if isinstance(key, ec.EllipticCurvePrivateKey):
        size = (key.key_size + 7) // 8
        r, s = decode_dss_signature(key.sign(signed, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(size, "big") + s.to_bytes(size, "big")
    return key.sign(signed)


def unsigned(header: dict[str, Any] | bytes, claims: dict[str, Any] | bytes) -> str:
    """Header and payload of a token; bytes are taken as they are."""
    parts = (part if isinstance(part, bytes) else json.dumps(part).encode() for part in (header, claims))
    return ".".join(base64url(part) for part in parts)


def signed_token(header: dict[str, Any] | bytes, claims: dict[str, Any] | bytes, key: PrivateKey) -> str:
    """A token with the key's signature."""
    text = unsigned(header, claims)
    return f"{text}.{base64url(signature_of(key, text.encode()))}"


@dataclass
class Answer:
    """What the server says at one path. While ``held`` is not set, it says nothing."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    held: threading.Event | None = None


@dataclass
class TokenIssuerServer:
    """The issuer. ``answers`` by path go before its own documents."""

    url: str
    keys: list[dict[str, Any]]
    answers: dict[str, Answer] = field(default_factory=dict)
    requests: Counter[str] = field(default_factory=Counter)

    def answer(self, path: str) -> Answer:
        """What is said at ``path`` now."""
        self.requests[path] += 1
        documents = {DISCOVERY: self.description, KEYS: {"keys": self.keys}}
        own = Answer(json.dumps(documents[path]).encode()) if path in documents else Answer(status=404)
        return self.answers.get(path, own)

    @property
    def description(self) -> dict[str, object]:
        """What the issuer says about itself."""
        return {"issuer": self.url, "jwks_uri": self.url + KEYS}


@contextlib.contextmanager
def token_issuer(keys: list[dict[str, Any]]) -> Iterator[TokenIssuerServer]:
    """Run an issuer on a free port, with these keys, for as long as the context lasts."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer = issuer.answer(self.path)
            if answer.held is not None:
                answer.held.wait(30)
            self.send_response(answer.status)
            for name, value in {"Content-Length": str(len(answer.body)), **answer.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

        def handle(self) -> None:
            with contextlib.suppress(OSError):  # the client had enough
                super().handle()

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        issuer = TokenIssuerServer(f"http://127.0.0.1:{server.server_port}", keys)
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield issuer
        finally:
            for answer in issuer.answers.values():
                if answer.held is not None:
                    answer.held.set()
            server.shutdown()
            thread.join(10)
