"""Verifies ID tokens: signed by the issuer, for this dashboard and this sign-in, and still good (Core 1.0, 3.1.3.7)."""

from __future__ import annotations

import hmac
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from cloudscale.access import tokens
from cloudscale.access.caller import AccessUnavailableError, NotAuthenticatedError
from cloudscale.errors import BackendUnavailableError, CloudScaleError

if TYPE_CHECKING:
    from cloudscale.access.issuer import Issuer


class InvalidTokenError(CloudScaleError):
    """What the provider says of a person cannot be relied on."""


async def verified_claims(
    text: str, *, issuer: Issuer, client_id: str, nonce: str, is_renewal: bool = False
) -> dict[str, Any]:
    """What an ID token says, once it is proved.

    Args:
        text: the token.
        issuer: who must have signed it.
        client_id: for whom it must be.
        nonce: of the sign-in that it must belong to.
        is_renewal: whether it came with a refresh token, where the nonce may be missing (Core 1.0, 12.2).

    Raises:
        InvalidTokenError: it is not proved.
        BackendUnavailableError: the issuer cannot be asked for its keys.
    """
    if not text:
        raise InvalidTokenError("the sign-in provider gave no ID token: the scope openid must be allowed")
    try:
        claims = await tokens.verified_claims(text, issuer, audiences=[client_id], now=datetime.now(UTC))
    except NotAuthenticatedError as error:
        raise InvalidTokenError(f"the sign-in provider's ID token cannot be taken: {error}") from None
    except AccessUnavailableError as error:
        raise BackendUnavailableError(str(error)) from None
    _check_party(claims, client_id)
    _check_nonce(claims, nonce, is_renewal=is_renewal)
    return claims


def _check_party(claims: dict[str, Any], client_id: str) -> None:
    """A token for several audiences says to which of them it was given."""
    several = isinstance(claims["aud"], list) and len(claims["aud"]) > 1
    party = claims.get("azp", None if several else client_id)
    if party != client_id:
        raise InvalidTokenError("the ID token was given to another client: its azp must be clientId")


def _check_nonce(claims: dict[str, Any], nonce: str, *, is_renewal: bool) -> None:
    given = claims.get("nonce", nonce if is_renewal else None)
    if not isinstance(given, str) or not hmac.compare_digest(given.encode("utf-8", "surrogatepass"), nonce.encode()):
        raise InvalidTokenError("the ID token belongs to another sign-in")
