"""The keys with which an issuer signs: a JSON Web Key Set (RFC 7517), of which only what is taken is kept.

Each key is for the one algorithm that its type has here: RSA keys for RS256, P-256 for ES256, Ed25519 for EdDSA. A
token's own ``alg`` can therefore never make another use of a key, as HS256 with a public key would.
"""

from __future__ import annotations

import base64
from typing import Annotated, Any, Final

import msgspec
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry
from msgspec import Meta

from cloudscale import untrusted_json
from cloudscale.errors import CloudScaleError

MOST_KEYS: Final = 64
MOST_KEY_ID_CHARACTERS: Final = 256
RSA_BITS: Final = range(2048, 8193)
LARGEST_RSA_EXPONENT: Final = 2**32

_MEMBERS: Final[dict[tuple[str, str | None], tuple[str, tuple[str, ...]]]] = {
    ("RSA", None): ("RS256", ("n", "e")),
    ("EC", "P-256"): ("ES256", ("x", "y")),
    ("OKP", "Ed25519"): ("EdDSA", ("x",)),
}
"""By type and curve: the algorithm, and the members that make the public key."""


class UnusableKeySetError(CloudScaleError):
    """An answer is no JSON Web Key Set, or has too many keys."""


class SigningKey(msgspec.Struct, frozen=True, gc=False):
    """A public key. ``id`` is None for one without a name."""

    id: str | None
    algorithm: str
    material: tuple[str, ...]
    key: RSAKey | ECKey | OKPKey

    def verifies(self, signed: bytes, signature: bytes) -> bool:
        """Whether ``signature`` is this key's, of ``signed``."""
        return JWSRegistry.algorithms[self.algorithm].verify(signed, signature, self.key)

    @property
    def identity(self) -> tuple[str | None, str, tuple[str, ...]]:
        """What makes it the same key in another answer of its issuer."""
        return self.id, self.algorithm, self.material


class KeySet:
    """The keys of one issuer that are taken."""

    def __init__(self, keys: list[SigningKey]) -> None:
        self._keys = keys
        self._named = {(key.id, key.algorithm): key for key in reversed(keys) if key.id is not None}

    def __len__(self) -> int:
        return len(self._keys)

    def has_the_keys_of(self, other: KeySet) -> bool:
        """Whether both have the same keys by the same names."""
        return self._identities() == other._identities()

    def find(self, key_id: str | None, algorithm: str) -> SigningKey | None:
        """The key of a token. One that names none has the issuer's only key (OpenID Connect Core, section 10.1)."""
        if key_id is not None:
            return self._named.get((key_id, algorithm))
        if len(self._keys) == 1 and self._keys[0].algorithm == algorithm:
            return self._keys[0]
        return None

    def _identities(self) -> set[tuple[str | None, str, tuple[str, ...]]]:
        return {key.identity for key in self._keys}


class _Document(msgspec.Struct, frozen=True):
    keys: Annotated[list[dict[str, Any]], Meta(max_length=MOST_KEYS)]


_DOCUMENT: Final = msgspec.json.Decoder(_Document)


def read_key_set(body: bytes) -> KeySet:
    """The keys of a document that can be taken; the others are left out.

    Raises:
        UnusableKeySetError: it is no key set, or has more than ``MOST_KEYS`` keys.
    """
    try:
        document = untrusted_json.decode(body, _DOCUMENT)
    except untrusted_json.UnreadableJsonError as error:
        raise UnusableKeySetError(f"it is no JSON Web Key Set of at most {MOST_KEYS} keys: {error}") from None
    return KeySet([key for member in document.keys if (key := _read(member)) is not None])


def _read(member: dict[str, Any]) -> SigningKey | None:
    kind, curve, key_id = member.get("kty"), member.get("crv"), member.get("kid")
    if not isinstance(kind, str) or not (curve is None or isinstance(curve, str)):
        return None
    algorithm, names = _MEMBERS.get((kind, curve), ("", ()))
    # Only what makes the public key goes to the library: no private part, and nothing that it might look at beside.
    values = tuple(member.get(name) for name in names)
    if not algorithm or not _is_for_signatures(member, algorithm) or not all(isinstance(each, str) for each in values):
        return None
    if key_id is not None and not (isinstance(key_id, str) and 0 < len(key_id) <= MOST_KEY_ID_CHARACTERS):
        return None
    public = {"kty": kind, **({"crv": curve} if curve else {}), **dict(zip(names, values, strict=True))}
    key = _import(kind, public)
    return None if key is None else SigningKey(key_id, algorithm, tuple(map(str, values)), key)


def _is_for_signatures(member: dict[str, Any], algorithm: str) -> bool:
    operations = member.get("key_ops", ["verify"])
    return (
        member.get("use", "sig") == "sig"
        and member.get("alg", algorithm) == algorithm
        and isinstance(operations, list)
        and "verify" in operations
    )


def _import(kind: str, public: dict[str, Any]) -> RSAKey | ECKey | OKPKey | None:
    try:
        if kind == "EC":
            return ECKey.import_key(public)
        if kind == "OKP":
            return OKPKey.import_key(public)
        # A key that is too long makes every signature dear, and one that is too short makes the library warn.
        if _number(public["n"]).bit_length() not in RSA_BITS or _number(public["e"]) > LARGEST_RSA_EXPONENT:
            return None
        return RSAKey.import_key(public)
    except (JoseError, ValueError):
        return None


def _number(text: str) -> int:
    return int.from_bytes(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), "big")
