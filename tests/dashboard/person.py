"""A person's session, for tests of what keeps and renews sessions."""

from __future__ import annotations

import time

from cloudscale.dashboard.session import PERSON_SESSION_SECONDS, PersonSession


def person(*, ends_in: float = PERSON_SESSION_SECONDS) -> PersonSession:
    """A session of Ann's."""
    return PersonSession(
        issuer="https://login.example.com",
        client_id="dashboard",
        subject="ann",
        nonce="n",
        name="ann",
        roles=("operators",),
        tenants={},
        renew_at=time.time() + 3600,
        ends_at=time.time() + ends_in,
        sealed_tokens="",
    )
