"""What an answer tells a client that has not proved who it is, or may not do this (RFC 6750, section 3)."""

from __future__ import annotations

from typing import Final

from cloudscale.access.caller import NotAllowedError, NotAuthenticatedError

CHALLENGE: Final = 'Bearer realm="cloudscale"'


def challenge_of(error: NotAuthenticatedError | NotAllowedError) -> str | None:
    """The value of ``WWW-Authenticate`` that goes with an error; None where another key or token would not help."""
    if isinstance(error, NotAuthenticatedError):
        return f'{CHALLENGE}, error="{error.code}"' if error.code else CHALLENGE
    return None if error.scope is None else f'{CHALLENGE}, error="insufficient_scope", scope="{error.scope}"'
