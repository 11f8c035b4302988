"""Keys, claims and tokens that tests of the verifier share."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519
from tests.servers.token_issuer import PrivateKey, public_jwk, rsa_key, signed_token

from cloudscale.pipeline import TokenIssuer

if TYPE_CHECKING:
    from tests.servers.token_issuer import TokenIssuerServer

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
NOW_SECONDS = int(NOW.timestamp())
ABSENT = object()

RSA = rsa_key("rsa")
EC = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()
FOR_ENCRYPTION = rsa_key("encryption")
FOR_RS512 = rsa_key("rs512")
FOR_DERIVING = ec.generate_private_key(ec.SECP256R1())
SHORT = rsa_key("short", 1024)
P384 = ec.generate_private_key(ec.SECP384R1())
ED448 = ed448.Ed448PrivateKey.generate()
STRANGE = rsa_key("strange")
"""A key that no issuer has."""

KEYS = [
    public_jwk(RSA, kid="rsa", use="sig", alg="RS256"),
    public_jwk(EC, kid="ec", use="sig"),
    public_jwk(ED, kid="ed"),
    public_jwk(FOR_ENCRYPTION, kid="encryption", use="enc"),
    public_jwk(FOR_RS512, kid="rs512", alg="RS512"),
    public_jwk(FOR_DERIVING, kid="deriving", key_ops=["deriveKey"]),
    public_jwk(SHORT, kid="short"),
    public_jwk(P384, kid="p384"),
    public_jwk(ED448, kid="ed448"),
    {"kty": "oct", "kid": "secret", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA"},
]
BY_ALGORITHM: dict[str, tuple[str, PrivateKey]] = {"RS256": ("rsa", RSA), "ES256": ("ec", EC), "EdDSA": ("ed", ED)}


@dataclass
class Clock:
    """Seconds that grow when a test says so."""

    seconds: float = 1000.0

    def __call__(self) -> float:
        return self.seconds


def resource(issuer: TokenIssuerServer, **changed: Any) -> TokenIssuer:
    """The issuer as a pipeline's resource names it."""
    return TokenIssuer(**{"issuer": issuer.url, "audiences": ("cloudscale", "events"), **changed})


def claims(issuer: str, **changed: Any) -> dict[str, Any]:
    """What a good token claims, with changes; ``ABSENT`` takes a claim away."""
    good = {
        "iss": issuer,
        "sub": "ann",
        "aud": "cloudscale",
        "iat": NOW_SECONDS - 60,
        "nbf": NOW_SECONDS - 60,
        "exp": NOW_SECONDS + 900,
        "tenant_id": "acme",
        "scope": "openid events:write events:read",
    }
    return {name: value for name, value in (good | changed).items() if value is not ABSENT}


def token(issuer: str, algorithm: str = "RS256", **changed: Any) -> str:
    """A good token, with changed claims."""
    name, key = BY_ALGORITHM[algorithm]
    return signed_token({"alg": algorithm, "kid": name, "typ": "JWT"}, claims(issuer, **changed), key)
