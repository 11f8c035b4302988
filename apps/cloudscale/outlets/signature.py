"""Signs requests as Standard Webhooks 1.0 says (https://www.standardwebhooks.com), with HMAC-SHA256."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from typing import TYPE_CHECKING, Final

from cloudscale.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

PREFIX: Final = "whsec_"
FEWEST_BYTES: Final = 24
MOST_BYTES: Final = 64
MOST_SECRETS: Final = 4
"""Two are enough to replace a secret; each makes the header longer."""


def parse_secrets(text: str) -> list[bytes]:
    """The keys in ``whsec_…`` secrets with white space between them.

    Raises:
        ConfigurationError: there is none, there are too many, or one is not a secret. The message never repeats it.
    """
    secrets = text.split()
    if not 1 <= len(secrets) <= MOST_SECRETS:
        raise ConfigurationError(f"it holds {len(secrets)} secrets: it should hold from 1 to {MOST_SECRETS}")
    return [_key(secret) for secret in secrets]


def _key(secret: str) -> bytes:
    form = f"{PREFIX} and then {FEWEST_BYTES} to {MOST_BYTES} random bytes in base64"
    if not secret.startswith(PREFIX):
        raise ConfigurationError(f"a secret in it does not begin with {PREFIX}: it should be {form}")
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise ConfigurationError(f"a secret in it is not base64: it should be {form}") from None
    if not FEWEST_BYTES <= len(key) <= MOST_BYTES:
        raise ConfigurationError(f"a secret in it has {len(key)} bytes: it should be {form}")
    return key


def signed_headers(keys: Sequence[bytes], message_id: str, *, at: datetime, body: bytes) -> dict[str, str]:
    """The headers ``webhook-id``, ``webhook-timestamp`` and ``webhook-signature``, with a signature for each key."""
    timestamp = str(int(at.timestamp()))
    content = b".".join((message_id.encode(), timestamp.encode(), body))
    signatures = [base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode() for key in keys]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }
