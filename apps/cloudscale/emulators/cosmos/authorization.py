"""The master-key signature that every request carries.

REST reference, "Access control on Azure Cosmos DB resources": the header is
``type=master&ver=1.0&sig={signature}``, URL-encoded, where the signature is the HMAC-SHA256 under the account key of
verb, resource type, resource link and date, one a line.
"""

import base64
import binascii
import hmac
import secrets
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from cloudscale.emulators.cosmos.decoding import http_date
from cloudscale.emulators.cosmos.errors import CosmosError, StartupError
from cloudscale.emulators.cosmos.protocol import Request
from cloudscale.private_files import write_private

KEY_BYTES: Final = 64
ALLOWED_CLOCK_SKEW: Final = timedelta(minutes=15)
_PREFIX: Final = "type=master&ver=1.0&sig="
# The Python SDK signs the deletion of a partition as a request to its container.
_SIGNED_KINDS: Final = {"partitionkey": ("partitionkey", "colls")}
# All requests of a second have the same date.
_http_date: Final = lru_cache(maxsize=16)(http_date)


def load_account_key(path: Path, *, generate: bool) -> str:
    """Read the base64 account key from ``path``; make one there first when ``generate`` and the file is missing.

    Raises StartupError when the file is missing or holds no base64 key.
    """
    try:
        if generate and not path.exists():
            write_private(path, base64.b64encode(secrets.token_bytes(KEY_BYTES)) + b"\n")
        key = path.read_text().strip()
        if not base64.b64decode(key, validate=True):
            raise StartupError(f"The account key file {path} is empty: put a base64 key in it or remove it.")
    except OSError as error:
        raise StartupError(f"Cannot read the account key file {path}: {error.strerror}.") from error
    except binascii.Error as error:
        raise StartupError(f"The account key file {path} holds no base64 key: {error}.") from error
    return key


def resource_of(path: str) -> tuple[str, str]:
    """The resource type and the resource link that a request for ``path`` signs (both empty for the account)."""
    # Split first: an id may hold an escaped slash.
    segments = [unquote(segment) for segment in path.strip("/").split("/")]
    if segments[-2:] == ["operations", "partitionkeydelete"]:
        return "partitionkey", "/".join(segments[:-2])
    if len(segments) % 2 == 0:
        return segments[-2], "/".join(segments)
    return segments[-1], "/".join(segments[:-1])


class Authorization:
    """Checks that a request was signed with a key of the account: one for everything, perhaps one to read with."""

    def __init__(self, account_key: str, *, read_only_key: str = "") -> None:
        self._key = base64.b64decode(account_key)
        self._read_only_key = base64.b64decode(read_only_key)

    def check(self, request: Request, *, writes: bool) -> None:
        """Return when the signature is right and its key good for the request.

        Raises CosmosError 401 when no key has signed it, 403 when the date is stale or the key only reads.
        """
        header = request.headers.get("authorization")
        if not header:
            raise CosmosError(
                401, "Required Header authorization is missing. Ensure a valid Authorization token is passed."
            )
        token = unquote(header)
        if not token.startswith(_PREFIX):
            kind = token.partition("&")[0].removeprefix("type=")
            raise CosmosError(401, f"Authorization type '{kind[:20]}' is not supported here: use the account key.")
        date = request.headers.get("x-ms-date", "")
        http_date = request.headers.get("date", "") if not date else ""
        _check_date(date or http_date)
        kind, link = resource_of(request.path)
        # Whatever characters a client puts there: only bytes can hold them all.
        given = token[len(_PREFIX) :].encode()
        # A link made of resource ids is signed by its last id alone, in lower case.
        payloads = [
            _payload(request.method, signed, candidate, date, http_date)
            for signed in _SIGNED_KINDS.get(kind, (kind,))
            for candidate in (link, link.rpartition("/")[2].lower())
        ]
        if _is_signed(given, payloads, self._key):
            return
        if self._read_only_key and _is_signed(given, payloads, self._read_only_key):
            if not writes:
                return
            raise CosmosError(
                403, f"The read-only key cannot authorize {request.method} of {kind} {link}: use a read-write key."
            )
        raise CosmosError(
            401,
            "The input authorization token can't serve the request. The wrong key is being used or the expected "
            f"payload is not built as per the protocol. Server used the following payload to sign: "
            f"'{request.method.lower()} {kind} {link} {date.lower()} {http_date.lower()}'",
        )


def _payload(method: str, kind: str, link: str, date: str, http_date: str) -> bytes:
    return f"{method.lower()}\n{kind.lower()}\n{link}\n{date.lower()}\n{http_date.lower()}\n".encode()


def _is_signed(given: bytes, payloads: list[bytes], key: bytes) -> bool:
    return any(hmac.compare_digest(base64.b64encode(hmac.digest(key, each, "sha256")), given) for each in payloads)


def _check_date(text: str) -> None:
    moment = _http_date(text)
    if moment is None:
        raise CosmosError(401, f"The date header '{text[:40]}' is missing or not in RFC 1123 format.")
    if abs(datetime.now(UTC) - moment) > ALLOWED_CLOCK_SKEW:
        raise CosmosError(403, "The authorization token is not valid at the current time: check the clocks.")
