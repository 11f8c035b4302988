"""Tells who is behind a request: checks its key or token against the directory."""

from __future__ import annotations

import hashlib
import hmac
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from cloudscale.access import api_key
from cloudscale.access.caller import Caller, NotAllowedError, NotAuthenticatedError
from cloudscale.access.records import Key, Reference, Tenant
from cloudscale.access.scopes import Scope
from cloudscale.errors import CloudScaleError

if TYPE_CHECKING:
    from collections.abc import Callable

    from cloudscale.access.attempts import FailedAttempts
    from cloudscale.access.directory import Directory

BEARER: Final = "bearer "
MOST_CHARACTERS: Final = 8192 + len(BEARER)

VERIFIED_SECONDS: Final = 1.0
"""How long a key or tenant is not looked up again, while no change is heard of."""
MOST_VERIFIED: Final = 50_000
MOST_TENANTS: Final = 10_000

MISSING: Final = (
    "there is no key or token: send the header Authorization: Bearer with one (cloudscale keys create makes a key)"
)
NEITHER: Final = "this is neither a key, which begins with cs_, nor a token, which has dots in it"
UNKNOWN: Final = "this key is not valid: it may be mistyped, revoked or from another pipeline"


class TooManyAttemptsError(CloudScaleError):
    """An address has tried too many wrong keys (429)."""

    def __init__(self, retry_after_seconds: float) -> None:
        self.retry_after_seconds = retry_after_seconds
        super().__init__("too many wrong keys came from this address: wait, and check the key")


class TokenVerification(Protocol):
    """What :class:`Authentication` needs of tokens."""

    async def verify(self, text: str, *, now: datetime) -> Caller:
        """Whose token it is.

        Raises:
            NotAuthenticatedError: nobody's, or it does not hold now.
            AccessUnavailableError: its issuer cannot be asked for its keys.
        """
        ...


class _Verified(msgspec.Struct, frozen=True, gc=False):
    """A key's caller, as it was found in the directory a moment ago."""

    digest: bytes
    """SHA-256 of the key's text."""
    caller: Caller
    epoch: int
    """The directory's."""
    until: float
    """When the directory is to be asked again, on ``time.monotonic``."""


class _Admitted(msgspec.Struct, frozen=True, gc=False):
    """A tenant that may send, as it was found in the directory a moment ago."""

    tenant: Tenant
    epoch: int
    until: float


class Authentication:
    """Finds the callers of one process.

    Args:
        directory: where keys and tenants are found.
        attempts: what bounds how often an address may be wrong.
        tokens: verifies what is no key; None where only keys are taken.
        on_use: is told the id of a key that holds, once a second at the most while it is used.
    """

    def __init__(
        self,
        directory: Directory,
        attempts: FailedAttempts,
        *,
        tokens: TokenVerification | None = None,
        on_use: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._directory = directory
        self._attempts = attempts
        self._tokens = tokens
        self._on_use = on_use
        self._verified: dict[str, _Verified] = {}
        self._admitted: dict[str, _Admitted] = {}

    async def caller_of(self, authorization: str | None, *, address: str, origin: str | None = None) -> Caller:
        """The caller that an ``Authorization`` header proves.

        Args:
            authorization: the header's value; None if there is none.
            address: whose attempts are counted, an address or network.
            origin: the request's ``Origin`` header, which some keys are bound to.

        Raises:
            NotAuthenticatedError: there is no key or token, or it does not hold.
            NotAllowedError: it holds, but not from this origin, or its tenant may not send.
            TooManyAttemptsError: this address was wrong too often.
            AccessUnavailableError: the directory, or the token's issuer, cannot be asked now.
        """
        if not authorization:
            raise NotAuthenticatedError(MISSING, code="")
        now_seconds = time.monotonic()
        self.require_attempt(address, now_seconds=now_seconds)
        try:
            caller = self._known_caller(authorization, now_seconds) or await self._caller_of(authorization, now_seconds)
        except NotAuthenticatedError:
            self.note_failure(address, now_seconds=now_seconds)
            raise
        if caller.origins is not None and origin not in caller.origins:
            where = ", and the request names no Origin" if origin is None else ""
            raise NotAllowedError(
                f"the key {caller.name} works from other web origins only{where}: use it on a page of one of them"
            )
        return caller

    def require_attempt(self, address: str, *, now_seconds: float) -> None:
        """Make sure that an address may try another key; ``now_seconds`` is of ``time.monotonic``.

        Raises:
            TooManyAttemptsError: it was wrong too often.
        """
        wait_seconds = self._attempts.wait_seconds(address, now_seconds=now_seconds)
        if wait_seconds > 0:
            raise TooManyAttemptsError(wait_seconds)

    def note_failure(self, address: str, *, now_seconds: float) -> None:
        """Count that an address had no key that holds."""
        self._attempts.note(address, now_seconds=now_seconds)

    def _known_caller(self, authorization: str, now_seconds: float) -> Caller | None:
        """The caller of a key that was looked up a moment ago, since when nothing has changed."""
        text = authorization[len(BEARER) :]
        known = self._verified.get(text[len(api_key.PREFIX) + 1 : len(api_key.PREFIX) + 1 + api_key.ID_CHARACTERS])
        if known is None or now_seconds >= known.until or known.epoch != self._directory.epoch:
            return None
        if authorization[: len(BEARER)].lower() != BEARER:
            return None
        given = hashlib.sha256(text.encode()).digest()
        return known.caller if hmac.compare_digest(given, known.digest) else None

    async def _caller_of(self, authorization: str, now_seconds: float) -> Caller:
        if len(authorization) > MOST_CHARACTERS or authorization[: len(BEARER)].lower() != BEARER:
            raise NotAuthenticatedError("Authorization must be Bearer with one key or token", code="invalid_request")
        text = authorization[len(BEARER) :]
        if text[:3] == f"{api_key.PREFIX}_":
            return await self._caller_of_key(text, now_seconds)
        if self._tokens is None:
            raise NotAuthenticatedError(UNKNOWN)
        if "." not in text:
            raise NotAuthenticatedError(NEITHER)
        now = datetime.now(UTC)
        caller = await self._tokens.verify(text, now=now)
        tenant = await self._tenant(caller.tenant_id, now_seconds)
        return msgspec.structs.replace(caller, quota=tenant.quota)

    async def _caller_of_key(self, text: str, now_seconds: float) -> Caller:
        given = api_key.parse(text)
        if given is None:
            raise NotAuthenticatedError(UNKNOWN)
        epoch = self._directory.epoch
        key = await self._directory.find(Reference("key", given.id))
        if not isinstance(key, Key) or not api_key.is_secret_of(given.secret, key.digest):
            raise NotAuthenticatedError(UNKNOWN)
        left_seconds = _end_of(key) - time.time()
        if left_seconds <= 0:
            raise NotAuthenticatedError(_ended(key))
        caller = _caller_of(key, await self._tenant(key.tenant_id, now_seconds))
        if len(self._verified) >= MOST_VERIFIED:
            self._verified.clear()
        self._on_use(given.id)
        until = now_seconds + min(left_seconds, VERIFIED_SECONDS)
        self._verified[given.id] = _Verified(hashlib.sha256(text.encode()).digest(), caller, epoch, until)
        return caller

    async def _tenant(self, tenant_id: str, now_seconds: float) -> Tenant:
        epoch = self._directory.epoch
        known = self._admitted.get(tenant_id)
        if known is not None and now_seconds < known.until and known.epoch == epoch:
            return known.tenant
        tenant = await self._directory.find(Reference("tenant", tenant_id))
        if not isinstance(tenant, Tenant):
            raise NotAllowedError(
                f"there is no tenant {tenant_id}: ask whoever runs the pipeline (cloudscale tenants create makes one)"
            )
        if tenant.disabled:
            raise NotAllowedError(f"the tenant {tenant_id} is disabled: ask whoever runs the pipeline")
        if len(self._admitted) >= MOST_TENANTS:
            self._admitted.clear()
        self._admitted[tenant_id] = _Admitted(tenant, epoch, now_seconds + VERIFIED_SECONDS)
        return tenant


def _caller_of(key: Key, tenant: Tenant) -> Caller:
    return Caller(
        name=key.id,
        tenant_id=key.tenant_id,
        # Public, it may send only, whatever its record says.
        scopes=key.scopes if key.origins is None else key.scopes & {Scope.WRITE_EVENTS},
        event_types=key.event_types,
        device_id=key.device_id,
        is_server=key.is_server,
        origins=key.origins,
        requests_per_second=key.requests_per_second,
        expires_at=key.expires_at,
        quota=tenant.quota,
    )


def _end_of(key: Key) -> float:
    return min((each.timestamp() for each in (key.expires_at, key.revoked_at) if each), default=float("inf"))


def _ended(key: Key) -> str:
    """What a key's owner is told, who has proved to be it."""
    if key.revoked_at is not None and key.revoked_at.timestamp() == _end_of(key):
        instead = f": use the key {key.replaced_by}" if key.replaced_by else ": create another one"
        return f"the key {key.id} was revoked{instead}"
    return f"the key {key.id} has expired: create another one (cloudscale keys rotate does it without a gap)"
