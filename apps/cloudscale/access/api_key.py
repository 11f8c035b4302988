"""The text of an API key: ``cs_{id}_{secret}``.

The id (12 letters and digits) names the key in lists and logs. The secret is 32 random bytes in base 62 (43
characters) and, in 6 more, a CRC-32 of all that stands before it. The prefix and the check sum let a secret scanner
tell a key from any other text without asking anybody, and let a mistyped key be refused without asking the directory.

Only SHA-256 of the secret is stored. A slow hash (bcrypt, Argon2) makes guessing dear where people choose the secret;
256 random bits cannot be guessed at any speed, and every request would pay for the slowness.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import zlib
from typing import Final

import msgspec

PREFIX: Final = "cs"
ID_CHARACTERS: Final = 12
SECRET_BYTES: Final = 32
SECRET_CHARACTERS: Final = 43
CHECK_CHARACTERS: Final = 6

_DIGITS: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_KEY: Final = re.compile(
    rf"{PREFIX}_([0-9A-Za-z]{{{ID_CHARACTERS}}})_([0-9A-Za-z]{{{SECRET_CHARACTERS + CHECK_CHARACTERS}}})"
)

_SECRET: Final = re.compile(rf"({PREFIX}_[0-9A-Za-z]{{{ID_CHARACTERS}}}_)[0-9A-Za-z]+")


class ApiKey(msgspec.Struct, frozen=True, gc=False):
    """A key in its two parts. ``secret`` includes the check sum."""

    id: str
    secret: str

    def __repr__(self) -> str:
        """Without the secret, so that no traceback and no log line holds it."""
        return f"ApiKey(id={self.id!r})"

    @property
    def text(self) -> str:
        """What its owner sends."""
        return f"{PREFIX}_{self.id}_{self.secret}"


def generate() -> ApiKey:
    """A new key that nobody else has."""
    identity = "".join(secrets.choice(_DIGITS) for _ in range(ID_CHARACTERS))
    secret = _in_base_62(int.from_bytes(secrets.token_bytes(SECRET_BYTES), "big"), SECRET_CHARACTERS)
    return ApiKey(identity, secret + _check(f"{PREFIX}_{identity}_{secret}"))


def parse(text: str) -> ApiKey | None:
    """The key that ``text`` is; None if it is none, or mistyped."""
    found = _KEY.fullmatch(text)
    if found is None or not text.endswith(_check(text[:-CHECK_CHARACTERS])):
        return None
    return ApiKey(found[1], found[2])


def digest_of(secret: str) -> str:
    """What is stored of a secret: SHA-256, in hexadecimal."""
    return hashlib.sha256(secret.encode()).hexdigest()


def is_secret_of(secret: str, digest: str) -> bool:
    """Whether a stored digest is that of ``secret``, compared in constant time."""
    return hmac.compare_digest(hashlib.sha256(secret.encode()).hexdigest(), digest)


def without_secrets(text: str) -> str:
    """The text with the ids of the keys in it, and three dots for the secret of each, or for what is left of one."""
    return _SECRET.sub(r"\1…", text)


def _check(text: str) -> str:
    return _in_base_62(zlib.crc32(text.encode()), CHECK_CHARACTERS)


def _in_base_62(number: int, width: int) -> str:
    digits = []
    for _ in range(width):
        number, digit = divmod(number, len(_DIGITS))
        digits.append(_DIGITS[digit])
    return "".join(reversed(digits))
