r"""Shared access signatures: who may use which entity ("Service Bus access control with Shared Access Signatures").

A token names a resource (``sr``), a key (``skn``), an expiry in Unix seconds (``se``) and the base64 HMAC-SHA256 of
``sr + "\n" + se`` under the key (``sig``). It is good for the resource and everything below it; the host in it does
not matter, because an emulator is known by many names.

A key may have some rights only, as an authorization rule of a namespace gives them: Send, Listen, or Manage, without
which nobody reads or changes a queue's description. Azure's roles can allow to read it, and the depth with it, and no
more. Azure's keys cannot: ``EntityRead`` is a key's right here because a key stands for such an identity.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import unquote, urlsplit

from cloudscale.emulators.servicebus.address import MANAGEMENT
from cloudscale.emulators.servicebus.conditions import ArgumentError, UnauthorizedError

_PREFIX = "SharedAccessSignature "


class Right(StrEnum):
    """What a key allows."""

    LISTEN = "Listen"
    SEND = "Send"
    ENTITY_READ = "EntityRead"
    MANAGE = "Manage"


ALL_RIGHTS = frozenset(Right)


@dataclass(frozen=True, slots=True)
class SharedAccessKey:
    """A key of the emulated namespace. The root key has all rights."""

    name: str
    key: str
    rights: frozenset[Right] = ALL_RIGHTS

    def matches(self, name: str, key: str) -> bool:
        """Compare a name and key in constant time (SASL PLAIN sends them as they are)."""
        return hmac.compare_digest(f"{name}\0{key}".encode(), f"{self.name}\0{self.key}".encode())


@dataclass(frozen=True, slots=True)
class Claim:
    """The rights to use ``path`` and all below it (empty: everything) until ``expires``, in Unix seconds."""

    path: str
    expires: float
    rights: frozenset[Right] = ALL_RIGHTS

    def covers(self, entity: str, now: float) -> bool:
        """Whether the claim is about an entity, now."""
        entity = entity.lower()
        return now < self.expires and (not self.path or entity == self.path or entity.startswith(self.path + "/"))

    def grants(self, *rights: Right) -> bool:
        """Whether it has one of the rights."""
        return not self.rights.isdisjoint(rights)


def verify(token: str, *keys: SharedAccessKey, now: float) -> Claim:
    """Check a token, which one of the keys must have signed, and return what it allows.

    Raises:
        UnauthorizedError: says which part of the token is wrong.
        ArgumentError: the token is signed for an address that is no URL.
    """
    if not token.startswith(_PREFIX):
        raise UnauthorizedError(
            "the token is no SharedAccessSignature (and Entra ID is not emulated): use a connection string with a key"
        )
    if not token.isascii():
        raise UnauthorizedError("the token holds characters beyond ASCII: escape its parts as in a URL")
    # What is signed is escaped still. A plus sign is one of unescaped base64 here, no space.
    raw = dict(part.partition("=")[::2] for part in token.removeprefix(_PREFIX).split("&"))
    fields = {name: unquote(value) for name, value in raw.items() if value}
    missing = [name for name in ("sr", "sig", "se", "skn") if name not in fields]
    if missing:
        raise UnauthorizedError(f"the token lacks {', '.join(missing)}")
    key = next((key for key in keys if key.name == fields["skn"]), None)
    if key is None:
        raise UnauthorizedError(f"there is no key named {fields['skn']!r}: check SharedAccessKeyName")
    signed = f"{raw['sr']}\n{raw['se']}".encode()
    expected = base64.b64encode(hmac.new(key.key.encode(), signed, hashlib.sha256).digest())
    if not hmac.compare_digest(expected, fields["sig"].encode()):
        raise UnauthorizedError("the signature of the token is wrong: check SharedAccessKey")
    try:
        expires = float(fields["se"])
    except ValueError:
        raise UnauthorizedError(f"the expiry {fields['se']!r} of the token is no number of seconds") from None
    if not expires > now:  # "nan" is a number of seconds too
        raise UnauthorizedError("the token has expired: check the clock, or ask for a new token")
    return Claim(entity_path(fields["sr"]).removesuffix(MANAGEMENT), expires, key.rights)


def required(*rights: Right) -> str:
    """What Azure says to a client that has none of the rights."""
    return f"Unauthorized access. '{','.join(rights)}' claim(s) are required to perform this operation."


def entity_path(address: str) -> str:
    """The lower-case path of an entity in an address such as ``sb://host/queue`` or ``queue``.

    Raises:
        ArgumentError: the address is no URL.
    """
    try:
        path = urlsplit(address).path if "//" in address else address
    except ValueError as error:
        raise ArgumentError(f"the address {address!r} cannot be read: {error}") from error
    return unquote(path).strip("/").lower()
