"""Verifies tokens of OpenID Connect issuers, and remembers those that it has verified."""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Final, Self

import msgspec

from cloudscale.access import claims as claimed
from cloudscale.access import json_web_token
from cloudscale.access.caller import Caller, NotAuthenticatedError
from cloudscale.access.issuer import Issuer

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable
    from datetime import datetime

    from cloudscale.access.json_web_token import JsonWebToken
    from cloudscale.pipeline import TokenIssuer

MOST_REMEMBERED: Final = 10_000
MOST_ID_TOKEN_CHARACTERS: Final = 64 * 1024
"""Some issuers write some hundred groups in an ID token, which nobody sends with each request."""
_NAME_CHARACTERS: Final = 20


class _Verified(msgspec.Struct, frozen=True, gc=False):
    """A token that was verified with the keys that ``issuer`` had in ``version``."""

    caller: Caller
    ends_at: float
    """Unix time."""
    issuer: Issuer
    version: int


class TokenVerifier:
    """Tells who is behind a token, as ``async with TokenVerifier(spec.access.tokens) as tokens``.

    Args:
        issuers: whose tokens are taken, and what they say where.
        authority_file: of an authority that counts for issuers in the cluster; see :mod:`cloudscale.trust`.
        most_remembered: so many verified tokens are remembered; the one that was not seen for longest is forgotten.
        clock: seconds that only grow, for how often an issuer is asked.
    """

    def __init__(
        self,
        issuers: Iterable[TokenIssuer],
        *,
        authority_file: str = "",
        most_remembered: int = MOST_REMEMBERED,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._issuers = {
            each.issuer: (each, Issuer(each.issuer, authority_file=authority_file, clock=clock)) for each in issuers
        }
        self._most_remembered = most_remembered
        self._verified: OrderedDict[bytes, _Verified] = OrderedDict()
        self._running = AsyncExitStack()

    async def __aenter__(self) -> Self:
        for _, issuer in self._issuers.values():
            await self._running.enter_async_context(issuer)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._running.aclose()

    async def verify(self, text: str, *, now: datetime) -> Caller:
        """Whose token ``text`` is. Whether there is such a tenant is not asked.

        Raises:
            NotAuthenticatedError: it is nobody's, or it does not hold now.
            AccessUnavailableError: its issuer cannot be asked for its keys.
        """
        if len(text) > json_web_token.MOST_CHARACTERS or not text.isascii():
            raise NotAuthenticatedError(
                f"the token must have at most {json_web_token.MOST_CHARACTERS} characters, all of them ASCII"
            )
        now_seconds = now.timestamp()
        digest = hashlib.sha256(text.encode()).digest()
        known = self._verified.get(digest)
        if known is not None:
            if now_seconds < known.ends_at and known.version == known.issuer.version:
                self._verified.move_to_end(digest)
                return known.caller
            del self._verified[digest]
        verified = await self._verify(json_web_token.parse(text), now_seconds)
        self._verified[digest] = verified
        if len(self._verified) > self._most_remembered:
            self._verified.popitem(last=False)
        return verified.caller

    async def _verify(self, token: JsonWebToken, now_seconds: float) -> _Verified:
        url = token.claims.get("iss")
        known = self._issuers.get(url) if isinstance(url, str) else None
        if known is None:
            raise NotAuthenticatedError("the token is of an issuer that this pipeline does not take tokens of")
        resource, issuer = known
        await check_signature(token, issuer)
        version = issuer.version
        ends_at = check_claims(token.claims, resource.audiences, now_seconds=now_seconds)
        subject = claimed.subject_of(token.claims)
        caller = Caller(
            name=_name_of(issuer.url, subject),
            subject=subject,
            tenant_id=claimed.tenant_of(token.claims, resource.tenant_claim),
            scopes=claimed.scopes_of(token.claims, resource.scopes_claim),
        )
        return _Verified(caller, ends_at, issuer, version)


async def verified_claims(text: str, issuer: Issuer, *, audiences: Collection[str], now: datetime) -> dict[str, Any]:
    """What an ID token claims. ``nonce`` is left to the caller, who knows what it must be.

    Raises:
        NotAuthenticatedError: it is not of this issuer, for none of these audiences, or does not hold now.
        AccessUnavailableError: the issuer cannot be asked for its keys.
    """
    token = json_web_token.parse(text, most_characters=MOST_ID_TOKEN_CHARACTERS)
    if token.claims.get("iss") != issuer.url:
        raise NotAuthenticatedError("the token is of another issuer")
    await check_signature(token, issuer)
    check_claims(token.claims, audiences, now_seconds=now.timestamp())
    claimed.subject_of(token.claims)
    return token.claims


async def check_signature(token: JsonWebToken, issuer: Issuer) -> None:
    """Make sure that the issuer has signed a token.

    Raises:
        NotAuthenticatedError: it has not.
        AccessUnavailableError: it cannot be asked for its keys.
    """
    key = await issuer.key_for(token.key_id, token.algorithm)
    if key is None:
        raise NotAuthenticatedError("the token is signed with a key that its issuer does not have (any more)")
    if not key.verifies(token.signed, token.signature):
        raise NotAuthenticatedError("the token's signature is not that of its issuer")


def check_claims(claims: dict[str, Any], audiences: Collection[str], *, now_seconds: float) -> float:
    """Make sure that a token is for one of ``audiences`` and holds now; until when it does, in Unix time.

    Raises:
        NotAuthenticatedError: it is not, or does not.
    """
    claimed.check_audience(claims, audiences)
    return claimed.check_times(claims, now_seconds=now_seconds)


def _name_of(issuer: str, subject: str) -> str:
    """A name for logs and limits that is the same for every token of a subject, and does not tell who it is."""
    return "t_" + hashlib.sha256(f"{issuer}\0{subject}".encode()).hexdigest()[:_NAME_CHARACTERS]
