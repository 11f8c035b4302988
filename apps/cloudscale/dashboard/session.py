"""What a session remembers of who opened it: the digest of an access token, or a person of the sign-in provider."""

from __future__ import annotations

import time
from typing import Final

import msgspec

from cloudscale.dashboard.sealing import seal, unseal

IDLE_SECONDS: Final = 15 * 60
"""So long a token's session lasts without a request, and a person's without being renewed by the provider."""
TOKEN_SESSION_SECONDS: Final = 12 * 3600
PERSON_SESSION_SECONDS: Final = 7 * 24 * 3600

_PURPOSE: Final = "tokens of a session"


class TokenSession(msgspec.Struct, frozen=True, rename="camel", tag_field="kind", tag="token", kw_only=True):
    """A session that an access token opened. ``ends_at`` is in seconds since 1970: no activity carries it further."""

    token_digest: str
    ends_at: float

    @property
    def idle_seconds(self) -> float | None:
        """How long it lasts without a request."""
        return IDLE_SECONDS


class ProviderTokens(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """What the provider gave for a person. ``id_token`` serves as the hint at signing out."""

    refresh_token: str = ""
    id_token: str = ""


class PersonSession(msgspec.Struct, frozen=True, rename="camel", tag_field="kind", tag="person", kw_only=True):
    """A session of a person who signed in with the provider; times are in seconds since 1970."""

    issuer: str
    client_id: str
    subject: str
    nonce: str
    name: str
    roles: tuple[str, ...]
    """The values of the roles claim that some rule names."""
    tenants: dict[str, tuple[str, ...]]
    """The values of the claims that rules take tenants from, by claim."""
    renew_at: float
    """Until when this holds; then the provider is asked again."""
    ends_at: float
    sealed_tokens: str
    """:class:`ProviderTokens`, readable only with the session's name, which the browser alone has."""

    @property
    def idle_seconds(self) -> float | None:
        """None: it lasts until it ends, and holds only as long as the provider renews it."""
        return None


Session = TokenSession | PersonSession

_session: msgspec.json.Decoder[Session] = msgspec.json.Decoder(Session)
_tokens = msgspec.json.Decoder(ProviderTokens)


def session_of_token(digest: str) -> TokenSession:
    """A new session for the token with this digest."""
    return TokenSession(token_digest=digest, ends_at=time.time() + TOKEN_SESSION_SECONDS)


def encode(session: Session) -> bytes:
    """What Redis keeps."""
    return msgspec.json.encode(session)


def decode(content: bytes) -> Session | None:
    """What Redis keeps, None for what another version wrote."""
    try:
        return _session.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def seal_tokens(tokens: ProviderTokens, *, name: str) -> str:
    """The tokens of the session that is called ``name``, for nobody who does not know the name."""
    return seal(msgspec.json.encode(tokens), secret=name.encode(), purpose=_PURPOSE)


def unseal_tokens(session: PersonSession, *, name: str) -> ProviderTokens:
    """The tokens of the session that is called ``name``; none if they cannot be read."""
    content = unseal(session.sealed_tokens, secret=name.encode(), purpose=_PURPOSE)
    return _tokens.decode(content) if content is not None else ProviderTokens()
