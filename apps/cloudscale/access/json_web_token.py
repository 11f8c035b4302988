"""The form of a JSON Web Token (RFC 7519): what it says, before anybody has looked at its signature.

Only the compact form is read (RFC 7515, section 7.1): three parts of base64url without padding, each written in the one
way that its bytes have. Members of the header that would let a token choose how it is verified have no effect: keys
that it brings or names (``jwk``, ``jku``, ``x5c``, ``x5u``) are not looked at, and extensions that must be understood
(``crit``, ``b64``) are refused.
"""

from __future__ import annotations

import base64
import json
import re
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, Meta, UnsetType

from cloudscale import untrusted_json
from cloudscale.access.caller import NotAuthenticatedError

MOST_CHARACTERS: Final = 8192
ALGORITHMS: Final = ("RS256", "ES256", "EdDSA")

_COMPACT: Final = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)")
_PARTS_OF_AN_ENCRYPTED_TOKEN: Final = 5
_TYPES: Final = frozenset({"jwt", "at+jwt"})
"""Kinds of token that say who calls. Others, as those of a sign-out, have the same form and are no credential."""


class _Header(msgspec.Struct, frozen=True, gc=False):
    """The members of the header that count."""

    alg: str
    kid: Annotated[str, Meta(min_length=1, max_length=256)] | UnsetType = UNSET
    typ: str | UnsetType = UNSET
    crit: Any = UNSET
    b64: Any = UNSET


class JsonWebToken(msgspec.Struct, frozen=True, gc=False):
    """What a token says, which is not yet proved."""

    algorithm: str
    key_id: str | None
    claims: dict[str, Any]
    signed: bytes
    """What the signature is of."""
    signature: bytes


_HEADER: Final = msgspec.json.Decoder(_Header)
_CLAIMS: Final = msgspec.json.Decoder(dict[str, Any])


def parse(text: str, *, most_characters: int = MOST_CHARACTERS) -> JsonWebToken:
    """Read a token of up to ``most_characters``.

    Raises:
        NotAuthenticatedError: it has another form, or an algorithm that is not taken.
    """
    if len(text) > most_characters:
        raise NotAuthenticatedError(f"the token has more than {most_characters} characters")
    parts = _COMPACT.fullmatch(text)
    if parts is None:
        raise NotAuthenticatedError(_why_no_token(text))
    header = _decode(parts[1], "header", _HEADER)
    _check(header)
    return JsonWebToken(
        algorithm=header.alg,
        key_id=None if header.kid is UNSET else header.kid,
        claims=_decode(parts[2], "payload", _CLAIMS),
        signed=text[: parts.start(3) - 1].encode(),
        signature=_bytes(parts[3], "signature"),
    )


def _check(header: _Header) -> None:
    if header.alg not in ALGORITHMS:
        raise NotAuthenticatedError(
            f"the token's algorithm is not taken: its alg must be one of {', '.join(ALGORITHMS)}"
        )
    if header.crit is not UNSET or header.b64 is not UNSET:
        raise NotAuthenticatedError("the token's header has crit or b64, and no such extension is understood here")
    if isinstance(header.typ, str) and header.typ.lower().removeprefix("application/") not in _TYPES:
        raise NotAuthenticatedError("the token is of another kind: its typ must be JWT or at+jwt")


def _why_no_token(text: str) -> str:
    if text.count(".") == _PARTS_OF_AN_ENCRYPTED_TOKEN - 1:
        return "the token is encrypted, or is none: send one that is signed only"
    return "the token is none: it must be three parts of base64url without padding, with dots between them"


def _decode(part: str, name: str, decoder: msgspec.json.Decoder[untrusted_json.Value]) -> untrusted_json.Value:
    text = _bytes(part, name)
    try:
        value = untrusted_json.decode(text, decoder)
        # Which of two members of one name counts is not agreed upon; whoever signs may have meant the other one.
        json.loads(text.decode(), object_pairs_hook=_unique)
    except (untrusted_json.UnreadableJsonError, ValueError, RecursionError):
        raise NotAuthenticatedError(
            f"the token's {name} cannot be read: it must be one JSON object, each name in it once"
        ) from None
    return value


def _unique(members: list[tuple[str, object]]) -> None:
    if len({name for name, _ in members}) < len(members):
        raise ValueError("a name is there twice")


def _bytes(part: str, name: str) -> bytes:
    try:
        value = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except ValueError:
        value = b""
    if base64.urlsafe_b64encode(value).rstrip(b"=").decode() != part:
        raise NotAuthenticatedError(f"the token's {name} is no base64url")
    return value
