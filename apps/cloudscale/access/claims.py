"""What a token claims (RFC 7519, section 4.1), once its signature is proved: for whom it is, and when it holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from cloudscale.access.caller import NotAuthenticatedError
from cloudscale.access.scopes import Scope
from cloudscale.events.checking import TenantId

if TYPE_CHECKING:
    from collections.abc import Collection

SKEW_SECONDS: Final = 30.0
"""By so much an issuer's clock may differ from this one."""
LATEST: Final = 253_402_300_799
"""The last second of the year 9999, in Unix time."""
MOST_SUBJECT_CHARACTERS: Final = 1024

_SCOPES: Final = {scope.value: scope for scope in Scope}


def check_audience(claims: dict[str, Any], audiences: Collection[str]) -> None:
    """Make sure that a token is for one of ``audiences``; it may be for others too.

    Raises:
        NotAuthenticatedError: it is not.
    """
    given = claims.get("aud")
    named = given if isinstance(given, list) else [given]
    if not all(isinstance(each, str) for each in named) or not any(each in audiences for each in named):
        raise NotAuthenticatedError(f"the token is for another audience: its aud must name {' or '.join(audiences)}")


def check_times(claims: dict[str, Any], *, now_seconds: float) -> float:
    """Make sure that a token holds now; until when it does, in Unix time.

    Raises:
        NotAuthenticatedError: it has no end, has ended, or has not begun.
    """
    end = _time(claims, "exp")
    if end is None:
        raise NotAuthenticatedError("the token never ends: it must have exp")
    if now_seconds >= end + SKEW_SECONDS:
        raise NotAuthenticatedError("the token has expired: get another one from its issuer")
    for name in ("nbf", "iat"):
        begin = _time(claims, name)
        if begin is not None and begin > now_seconds + SKEW_SECONDS:
            raise NotAuthenticatedError(
                f"the token does not hold yet: its {name} lies more than {SKEW_SECONDS:.0f} s in the future; are the "
                "clocks right?"
            )
    return end + SKEW_SECONDS


def subject_of(claims: dict[str, Any]) -> str:
    """Whom the token is about.

    Raises:
        NotAuthenticatedError: it does not say.
    """
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 0 < len(subject) <= MOST_SUBJECT_CHARACTERS:
        raise NotAuthenticatedError(f"the token must have sub: text of 1 to {MOST_SUBJECT_CHARACTERS} characters")
    return subject


def tenant_of(claims: dict[str, Any], name: str) -> str:
    """The tenant that the claim ``name`` names.

    Raises:
        NotAuthenticatedError: there is none, or it is no identifier of a tenant.
    """
    try:
        return msgspec.convert(claims.get(name), TenantId)
    except msgspec.ValidationError:
        raise NotAuthenticatedError(
            f"the token names no tenant: its claim {name} must be the identifier of one, as text"
        ) from None


def scopes_of(claims: dict[str, Any], name: str) -> frozenset[Scope]:
    """The scopes that the claim ``name`` lists, as text with spaces or as an array; those of others are passed over.

    Raises:
        NotAuthenticatedError: the claim is something else.
    """
    given = claims.get(name, "")
    listed = given.split(" ") if isinstance(given, str) else given
    if not isinstance(listed, list) or not all(isinstance(each, str) for each in listed):
        raise NotAuthenticatedError(f"the token's claim {name} must be text, scopes with spaces between, or an array")
    return frozenset(_SCOPES[each] for each in listed if each in _SCOPES)


def _time(claims: dict[str, Any], name: str) -> float | None:
    value = claims.get(name)
    if name not in claims:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= LATEST:
        raise NotAuthenticatedError(
            f"the token's {name} is no time: it must be seconds since 1970, up to the year 9999"
        )
    return float(value)
