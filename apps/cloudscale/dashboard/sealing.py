"""Encrypts what passes through hands that must not read or change it: AES-256-GCM, a key for each purpose."""

from __future__ import annotations

import base64
import binascii
import hmac
import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

SECRET_BYTES = 32
NONCE_BYTES = 12


def seal(content: bytes, *, secret: bytes, purpose: str) -> str:
    """``content`` as text that only who has the ``secret`` can read, and that nobody else can make."""
    nonce = secrets.token_bytes(NONCE_BYTES)
    sealed = _cipher(secret, purpose).encrypt(nonce, content, None)
    return base64.urlsafe_b64encode(nonce + sealed).decode()


def unseal(text: str, *, secret: bytes, purpose: str) -> bytes | None:
    """What was sealed with the same secret for the same purpose; None for every other text."""
    try:
        sealed = base64.urlsafe_b64decode(text.encode("ascii"))
        return _cipher(secret, purpose).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], None)
    except (InvalidTag, binascii.Error, UnicodeEncodeError, ValueError):
        return None


def _cipher(secret: bytes, purpose: str) -> AESGCM:
    return AESGCM(hmac.digest(secret, purpose.encode(), "sha256"))
