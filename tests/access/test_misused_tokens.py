"""Tokens that must be refused, each for its reason, by a verifier that takes two issuers."""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding
from tests.access.signing import (
    ABSENT,
    EC,
    ED,
    ED448,
    FOR_DERIVING,
    FOR_ENCRYPTION,
    FOR_RS512,
    NOW,
    NOW_SECONDS,
    P384,
    RSA,
    SHORT,
    STRANGE,
    claims,
    token,
)
from tests.servers.token_issuer import base64url, public_jwk, rsa_key, signature_of, signed_token, unsigned

from cloudscale.access.caller import NotAuthenticatedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.servers.token_issuer import TokenIssuerServer

    from cloudscale.access.tokens import TokenVerifier

HEADER = {"alg": "RS256", "kid": "rsa"}
PEM = RSA.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


@dataclass(frozen=True)
class Misuse:
    """``make`` gets the issuer's URL and the other issuer's. ``says`` is in the message."""

    title: str
    make: Callable[[str, str], str]
    says: str


def with_header(**changed: Any) -> Callable[[str, str], str]:
    """Signed with the right key, under another header."""
    header = {name: value for name, value in (HEADER | changed).items() if value is not ABSENT}
    return lambda issuer, _: signed_token(header, claims(issuer), RSA)


def with_claims(**changed: Any) -> Callable[[str, str], str]:
    """Signed as it must be, with other claims."""
    return lambda issuer, _: token(issuer, **changed)


def with_payload(text: bytes) -> Callable[[str, str], str]:
    """Signed as it must be, over a payload that is no claims."""
    return lambda _, __: signed_token(HEADER, text, RSA)


def signed_by(key: Any, header: dict[str, Any]) -> Callable[[str, str], str]:
    return lambda issuer, _: signed_token(header, claims(issuer), key)


def with_signature(make: Callable[[bytes], bytes], header: dict[str, Any] | None = None) -> Callable[[str, str], str]:
    """``make`` gets what must be signed."""

    def made(issuer: str, _: str) -> str:
        text = unsigned(header or HEADER, claims(issuer))
        return f"{text}.{base64url(make(text.encode()))}"

    return made


def changed_after_signing(issuer: str, _: str) -> str:
    header, _payload, signature = token(issuer).split(".")
    return ".".join((header, base64url(json.dumps(claims(issuer, tenant_id="other")).encode()), signature))


def as_json(issuer: str, _: str) -> str:
    header, payload, signature = token(issuer).split(".")
    return json.dumps({"payload": payload, "protected": header, "signature": signature})


def hmac_with(secret: bytes) -> Callable[[bytes], bytes]:
    return lambda signed: hmac.new(secret, signed, hashlib.sha256).digest()


def another_last_character(issuer: str, _: str) -> str:
    """256 bytes leave four bits of the last character unused; other ones there are the same signature."""
    text = token(issuer)
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return text[:-1] + alphabet[alphabet.index(text[-1]) ^ 1]


ES256 = {"alg": "ES256", "kid": "ec"}
EDDSA = {"alg": "EdDSA", "kid": "ed"}
ALGORITHM = "its alg must be one of"
KEY = "key that its issuer does not have"
SIGNATURE = "signature is not that of its issuer"
FORM = "three parts of base64url"
UNREADABLE = "cannot be read"
TIME = "is no time"
AUDIENCE = "another audience"
TENANT = "names no tenant"
EXTENSION = "crit or b64"
ISSUER = "of an issuer that this pipeline does not take"

MISUSES = [
    # The algorithm
    Misuse("alg none", lambda issuer, _: unsigned({"alg": "none"}, claims(issuer)) + ".AA", ALGORITHM),
    Misuse("alg none, no signature", lambda issuer, _: unsigned({"alg": "none"}, claims(issuer)) + ".", FORM),
    Misuse("alg nOnE", with_header(alg="nOnE"), ALGORITHM),
    Misuse("alg missing", with_header(alg=ABSENT), UNREADABLE),
    Misuse("alg is a list", with_header(alg=["RS256"]), UNREADABLE),
    Misuse("alg is empty", with_header(alg=""), ALGORITHM),
    Misuse("HS256 with the public key", with_signature(hmac_with(PEM), HEADER | {"alg": "HS256"}), ALGORITHM),
    Misuse(
        "HS256 with the modulus",
        with_signature(hmac_with(RSA.public_key().public_numbers().n.to_bytes(256, "big")), HEADER | {"alg": "HS256"}),
        ALGORITHM,
    ),
    Misuse(
        "RS256 in name, HMAC in fact",
        with_signature(hmac_with(PEM)),
        SIGNATURE,
    ),
    Misuse(
        "RS512",
        with_signature(lambda signed: signature_of(RSA, signed, rsa_hash=hashes.SHA512()), HEADER | {"alg": "RS512"}),
        ALGORITHM,
    ),
    Misuse(
        "RS256 in name, SHA-512 in fact",
        with_signature(lambda signed: signature_of(RSA, signed, rsa_hash=hashes.SHA512())),
        SIGNATURE,
    ),
    Misuse(
        "RS256 in name, PSS in fact",
        with_signature(
            lambda signed: RSA.sign(signed, padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256())
        ),
        SIGNATURE,
    ),
    Misuse("ES384", signed_by(P384, {"alg": "ES384", "kid": "p384"}), ALGORITHM),
    Misuse("Ed25519 as RFC 9864 calls it", signed_by(ED, {"alg": "Ed25519", "kid": "ed"}), ALGORITHM),
    Misuse("RS256 with the kid of an EC key", signed_by(RSA, {"alg": "RS256", "kid": "ec"}), KEY),
    Misuse("ES256 with the kid of an RSA key", signed_by(EC, {"alg": "ES256", "kid": "rsa"}), KEY),
    # The key
    Misuse("unknown kid", signed_by(STRANGE, {"alg": "RS256", "kid": "strange"}), KEY),
    Misuse("a stranger's signature", signed_by(STRANGE, HEADER), SIGNATURE),
    Misuse("no kid, and the issuer has several keys", with_header(kid=ABSENT), KEY),
    Misuse("kid is empty", with_header(kid=""), UNREADABLE),
    Misuse("kid is null", with_header(kid=None), UNREADABLE),
    Misuse("kid is a number", with_header(kid=1), UNREADABLE),
    Misuse("kid is a path", with_header(kid="../../dev/null"), KEY),
    Misuse("kid is a query", with_header(kid="' OR 1=1 --"), KEY),
    Misuse("kid has a NUL", with_header(kid="rsa\0"), KEY),
    Misuse("kid is too long", with_header(kid="k" * 257), UNREADABLE),
    Misuse("kid of the other issuer", signed_by(rsa_key("other"), {"alg": "RS256", "kid": "other"}), KEY),
    Misuse(
        "the other issuer's signature and name, this issuer's kid",
        lambda _, other: signed_token(HEADER, claims(other), RSA),
        KEY,
    ),
    Misuse("a key for encryption", signed_by(FOR_ENCRYPTION, {"alg": "RS256", "kid": "encryption"}), KEY),
    Misuse("a key for RS512", signed_by(FOR_RS512, {"alg": "RS256", "kid": "rs512"}), KEY),
    Misuse("a key for deriving", signed_by(FOR_DERIVING, {"alg": "ES256", "kid": "deriving"}), KEY),
    Misuse("a key of 1024 bits", signed_by(SHORT, {"alg": "RS256", "kid": "short"}), KEY),
    Misuse("a P-384 key for ES256", signed_by(P384, {"alg": "ES256", "kid": "p384"}), KEY),
    Misuse("an Ed448 key for EdDSA", signed_by(ED448, {"alg": "EdDSA", "kid": "ed448"}), KEY),
    Misuse(
        "a secret from the key set",
        with_signature(hmac_with(b"secret-secret-secret-secret-secret"), {"alg": "HS256", "kid": "secret"}),
        ALGORITHM,
    ),
    Misuse(
        "its own key in jwk",
        signed_by(STRANGE, HEADER | {"jwk": public_jwk(STRANGE, kid="rsa")}),
        SIGNATURE,
    ),
    Misuse(
        "its own key in jwk, under another kid",
        signed_by(STRANGE, {"alg": "RS256", "kid": "mine", "jwk": public_jwk(STRANGE, kid="mine")}),
        KEY,
    ),
    Misuse(
        "jku",
        lambda issuer, _: signed_token(HEADER | {"jku": f"{issuer}/attack"}, claims(issuer), STRANGE),
        SIGNATURE,
    ),
    Misuse(
        "x5u",
        lambda issuer, _: signed_token(
            {"alg": "RS256", "kid": "mine", "x5u": f"{issuer}/attack"}, claims(issuer), STRANGE
        ),
        KEY,
    ),
    Misuse("x5c", signed_by(STRANGE, HEADER | {"x5c": ["MIIB"]}), SIGNATURE),
    # Extensions, and kinds
    Misuse("crit", with_header(crit=["exp"], exp=1), EXTENSION),
    Misuse("crit is empty", with_header(crit=[]), EXTENSION),
    Misuse("b64 is false", with_header(b64=False, crit=["b64"]), EXTENSION),
    Misuse("b64 is false without crit", with_header(b64=False), EXTENSION),
    Misuse("a token of a sign-out", with_header(typ="logout+jwt"), "another kind"),
    Misuse("a proof of possession", with_header(typ="dpop+jwt"), "another kind"),
    # The form
    Misuse("encrypted", lambda _, __: "e30.AAAA.AAAA.AAAA.AAAA", "encrypted"),
    Misuse("JSON serialisation", as_json, FORM),
    Misuse("four parts", lambda issuer, _: token(issuer) + ".AAAA", FORM),
    Misuse("two parts", lambda issuer, _: token(issuer).rpartition(".")[0], FORM),
    Misuse("nothing", lambda _, __: "", FORM),
    Misuse("dots", lambda _, __: "..", FORM),
    Misuse("padding", lambda issuer, _: token(issuer) + "==", FORM),
    Misuse("a space before it", lambda issuer, _: " " + token(issuer), FORM),
    Misuse("a line's end after it", lambda issuer, _: token(issuer) + "\n", FORM),
    Misuse("a space in it", lambda issuer, _: token(issuer).replace(".", ". "), FORM),
    Misuse("a NUL in it", lambda issuer, _: token(issuer).replace(".", "\0."), FORM),
    Misuse("letters of base64 that is not for URLs", lambda issuer, _: token(issuer) + "+/", FORM),
    Misuse("letters that are not ASCII", lambda issuer, _: token(issuer) + "é", "ASCII"),
    Misuse("digits that are not ASCII", lambda issuer, _: token(issuer) + "\N{ARABIC-INDIC DIGIT ONE}", "ASCII"),
    Misuse("the same bytes written otherwise", another_last_character, "no base64url"),
    Misuse("a part with one letter too many", lambda issuer, _: token(issuer).replace(".", "AAAAA."), "."),
    Misuse("9 KB", with_claims(padding="x" * 6500), "8192 characters"),
    Misuse("header is no JSON", lambda issuer, _: signed_token(b"header", claims(issuer), RSA), UNREADABLE),
    Misuse("header is a list", lambda issuer, _: signed_token(b"[]", claims(issuer), RSA), UNREADABLE),
    Misuse("header is no UTF-8", lambda issuer, _: signed_token(b'{"alg":"\xff"}', claims(issuer), RSA), UNREADABLE),
    Misuse(
        "alg twice in the header",
        lambda issuer, _: signed_token(b'{"alg":"none","alg":"RS256","kid":"rsa"}', claims(issuer), RSA),
        UNREADABLE,
    ),
    Misuse("payload is text", with_payload(b'"text"'), UNREADABLE),
    Misuse("payload is no JSON", with_payload(b"{"), UNREADABLE),
    Misuse("payload is UTF-16", with_payload(json.dumps({"iss": "x"}).encode("utf-16")), UNREADABLE),
    Misuse("payload has half a character", with_payload(b'{"sub":"\\ud800"}'), UNREADABLE),
    Misuse("payload has NaN", with_payload(b'{"exp":NaN}'), UNREADABLE),
    # How many brackets the decoder takes depends on the interpreter; where these are few enough, the issuer is missing.
    Misuse("payload is nested", with_payload(b'{"a":' + b"[" * 2500 + b"]" * 2500 + b"}"), f"{UNREADABLE}|{ISSUER}"),
    Misuse(
        "tenant twice in the payload",
        lambda issuer, _: signed_token(
            HEADER, json.dumps(claims(issuer))[:-1].encode() + b', "tenant_id": "other"}', RSA
        ),
        UNREADABLE,
    ),
    Misuse(
        "a name twice, deep in the payload",
        lambda issuer, _: signed_token(
            HEADER, json.dumps(claims(issuer))[:-1].encode() + b', "x": [{"a": 1, "\\u0061": 2}]}', RSA
        ),
        UNREADABLE,
    ),
    # The signature
    Misuse("changed after signing", changed_after_signing, SIGNATURE),
    Misuse("signature cut", with_signature(lambda signed: signature_of(RSA, signed)[:-1]), SIGNATURE),
    Misuse("signature longer", with_signature(lambda signed: signature_of(RSA, signed) + b"\0"), SIGNATURE),
    Misuse("signature of zeros", with_signature(lambda _: bytes(256)), SIGNATURE),
    Misuse(
        "ES256 in DER",
        with_signature(lambda signed: EC.sign(signed, ec.ECDSA(hashes.SHA256())), ES256),
        SIGNATURE,
    ),
    Misuse("ES256 of zeros", with_signature(lambda _: bytes(64), ES256), SIGNATURE),
    Misuse("ES256 too short", with_signature(lambda signed: signature_of(EC, signed)[:63], ES256), SIGNATURE),
    Misuse("EdDSA too long", with_signature(lambda signed: ED.sign(signed) + b"\0", EDDSA), SIGNATURE),
    Misuse("EdDSA of zeros", with_signature(lambda _: bytes(64), EDDSA), SIGNATURE),
    # Who has issued it, and for whom
    Misuse("no issuer", with_claims(iss=ABSENT), "issuer"),
    Misuse("issuer is a list", lambda issuer, _: token(issuer, iss=[issuer]), "does not take tokens of"),
    Misuse("issuer is null", with_claims(iss=None), "does not take tokens of"),
    Misuse("issuer with a slash at the end", lambda issuer, _: token(issuer + "/"), "does not take tokens of"),
    Misuse("issuer in capitals", lambda issuer, _: token(issuer.upper()), "does not take tokens of"),
    Misuse("an unknown issuer", lambda _, __: token("https://evil.example"), "does not take tokens of"),
    Misuse("another audience", with_claims(aud="shop"), AUDIENCE),
    Misuse("part of the audience", with_claims(aud="cloudscal"), AUDIENCE),
    Misuse("audience in other letters", with_claims(aud="CloudScale"), AUDIENCE),
    Misuse("two other audiences", with_claims(aud=["shop", "bank"]), AUDIENCE),
    Misuse("audiences as text", with_claims(aud="cloudscale events"), AUDIENCE),
    Misuse("no audience", with_claims(aud=ABSENT), AUDIENCE),
    Misuse("audience is an empty list", with_claims(aud=[]), AUDIENCE),
    Misuse("audience is an object", with_claims(aud={"cloudscale": True}), AUDIENCE),
    Misuse("audiences with a number", with_claims(aud=["cloudscale", 1]), AUDIENCE),
    # When it holds
    Misuse("expired", with_claims(exp=NOW_SECONDS - 30), "expired"),
    Misuse("expired long ago", with_claims(exp=0), "expired"),
    Misuse("never ends", with_claims(exp=ABSENT), "never ends"),
    Misuse("exp is null", with_claims(exp=None), TIME),
    Misuse("exp is text", with_claims(exp=str(NOW_SECONDS + 900)), TIME),
    Misuse("exp is true", with_claims(exp=True), TIME),
    Misuse("exp is a list", with_claims(exp=[NOW_SECONDS + 900]), TIME),
    Misuse("exp is negative", with_claims(exp=-1), TIME),
    Misuse("exp is huge", with_claims(exp=10**15), TIME),
    Misuse("exp has 400 digits", with_claims(exp=10**400), TIME),
    Misuse("exp is beyond all numbers", lambda _, __: signed_token(HEADER, b'{"exp":1e999}', RSA), "token"),
    Misuse("not yet", with_claims(nbf=NOW_SECONDS + 31), "does not hold yet: its nbf"),
    Misuse("nbf is text", with_claims(nbf="soon"), TIME),
    Misuse("from the future", with_claims(iat=NOW_SECONDS + 31), "does not hold yet: its iat"),
    Misuse("iat is null", with_claims(iat=None), TIME),
    # For whom it speaks
    Misuse("no tenant", with_claims(tenant_id=ABSENT), TENANT),
    Misuse("tenant is empty", with_claims(tenant_id=""), TENANT),
    Misuse("tenant is null", with_claims(tenant_id=None), TENANT),
    Misuse("tenant is a list", with_claims(tenant_id=["acme"]), TENANT),
    Misuse("tenant is a number", with_claims(tenant_id=7), TENANT),
    Misuse("tenant has a slash", with_claims(tenant_id="acme/other"), TENANT),
    Misuse("tenant has a line's end", with_claims(tenant_id="acme\n"), TENANT),
    Misuse("tenant has a NUL", with_claims(tenant_id="acme\0"), TENANT),
    Misuse("tenant is too long", with_claims(tenant_id="a" * 65), TENANT),
    Misuse("tenant in another alphabet", with_claims(tenant_id="\N{CYRILLIC SMALL LETTER A}cme"), TENANT),
    Misuse("no subject", with_claims(sub=ABSENT), "sub"),
    Misuse("subject is empty", with_claims(sub=""), "sub"),
    Misuse("subject is a number", with_claims(sub=7), "sub"),
    Misuse("scopes are an object", with_claims(scope={"events:write": True}), "claim scope"),
    Misuse("scopes have a number", with_claims(scope=["events:write", 1]), "claim scope"),
]


def test_no_two_misuses_have_one_title() -> None:
    assert len({misuse.title for misuse in MISUSES}) == len(MISUSES) >= 40


@pytest.mark.parametrize("misuse", MISUSES, ids=[misuse.title for misuse in MISUSES])
async def test_a_misused_token_is_refused(
    misuse: Misuse, verifier: TokenVerifier, issuer: TokenIssuerServer, other_issuer: TokenIssuerServer
) -> None:
    text = misuse.make(issuer.url, other_issuer.url)

    with pytest.raises(NotAuthenticatedError, match=misuse.says) as refused:
        await verifier.verify(text, now=NOW)

    assert refused.value.code == "invalid_token"
    assert not any(part in str(refused.value) for part in text.split(".") if len(part) > 8)
    assert issuer.requests["/attack"] == 0, "an address in a token was asked"
    # What was refused has no effect on others.
    assert (await verifier.verify(token(issuer.url), now=NOW)).tenant_id == "acme"
