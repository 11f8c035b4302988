"""Who is behind a request, as far as a key or a token proves it."""

from __future__ import annotations

from datetime import datetime

import msgspec

from cloudscale.access.records import Quota
from cloudscale.access.scopes import Scope
from cloudscale.errors import CloudScaleError


class Caller(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A caller whose key or token has been verified.

    ``name`` is the id of the key, or for a token a digest of its issuer and subject: it stands in logs, counts in
    limits, and is no secret. ``tenant_id`` is the one tenant that the caller acts for.
    """

    name: str
    tenant_id: str
    scopes: frozenset[Scope]
    event_types: frozenset[str] | None = None
    """The types of event that may be sent; None for all."""
    subject: str | None = None
    """Whom a token is about, for the audit record; None for a key."""
    device_id: str | None = None
    """The device that the key belongs to; its events carry this id."""
    is_server: bool = False
    """Whether it sends for others: its own address is not the end user's, and it may name theirs."""
    origins: frozenset[str] | None = None
    """The web origins from which the key works; None for a key that does not depend on them."""
    requests_per_second: float | None = None
    """What the key may send, where that differs from what the pipeline's resource says for every key."""
    expires_at: datetime | None = None
    """When the key ends; None for one without an end, and for a token."""
    quota: Quota | None = None
    """What the caller's tenant may send, where it differs from what the pipeline's resource says for every tenant."""


class NotAuthenticatedError(CloudScaleError):
    """There is no key or token, or it is not valid (401).

    ``code`` is what RFC 6750, section 3.1 calls ``error``; empty when the request had nothing to authenticate with.
    """

    def __init__(self, message: str, *, code: str = "invalid_token") -> None:
        self.code = code
        super().__init__(message)


class NotAllowedError(CloudScaleError):
    """The caller is known and may not do this (403). ``scope`` is the one that is missing, if that is the reason."""

    def __init__(self, message: str, *, scope: Scope | None = None) -> None:
        self.scope = scope
        super().__init__(message)


class AccessUnavailableError(CloudScaleError):
    """Whether the caller may is not known now, because the directory or the issuer cannot be asked (503)."""


def require_scope(caller: Caller, scope: Scope) -> None:
    """Make sure that the caller may do what ``scope`` names.

    Raises:
        NotAllowedError: it may not.
    """
    if scope not in caller.scopes:
        has = ", ".join(sorted(caller.scopes)) or "none"
        raise NotAllowedError(f"this needs the scope {scope}; {caller.name} has {has}", scope=scope)
