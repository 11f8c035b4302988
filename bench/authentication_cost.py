"""CPU time of telling who sends, alone: what ingestion does for a request whose key or token is known already."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, cast

from tests.access.signing import KEYS, token
from tests.servers.token_issuer import token_issuer

from cloudscale.access import api_key
from cloudscale.access.attempts import FailedAttempts
from cloudscale.access.authentication import Authentication
from cloudscale.access.directory import Directory
from cloudscale.access.records import Key, Reference, Tenant
from cloudscale.access.scopes import Scope
from cloudscale.access.tokens import TokenVerifier
from cloudscale.ingestion.callers import Callers
from cloudscale.ingestion.ownership import claim
from cloudscale.limits.rates import Budget
from cloudscale.pipeline import TokenIssuer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from granian._granian import RSGIHeaders

    from cloudscale.access.shared_cache import SharedCache

TENANT: Final = "acme"
CLIENT: Final = "192.0.2.1"
CALLS: Final = 50_000
TURNS: Final = 5


class _Headers(dict[str, str]):
    """Headers as the server gives them."""

    def get_all(self, name: str) -> list[str]:
        """All values of a header."""
        return [self[name]]


class _Cache:
    """A cache that knows everything, and of no change."""

    def __init__(self, records: Mapping[Reference, Tenant | Key]) -> None:
        self._records = records

    async def changes_since(self, _version: str) -> tuple[str, list[Reference]]:
        return "1", []

    async def find(self, _references: Sequence[Reference]) -> tuple[str, Mapping[Reference, Tenant | Key]]:
        return "1", self._records

    async def remember(self, _records: object, *, version: str) -> None:
        """Nothing is new."""


async def measure() -> dict[str, float]:
    """Microseconds of authentication an event, by a key and by a token, of the best of some turns."""
    made, now = api_key.generate(), datetime.now(UTC)
    key = Key(
        id=made.id, tenant_id=TENANT, name="bench", digest=api_key.digest_of(made.secret), created_at=now,
        scopes=frozenset({Scope.WRITE_EVENTS}),
    )  # fmt: skip
    records: dict[Reference, Tenant | Key] = {
        Reference("key", key.id): key,
        Reference("tenant", TENANT): Tenant(id=TENANT, created_at=now),
    }

    async def find(_references: Sequence[Reference]) -> Mapping[Reference, Tenant | Key]:
        return records

    with token_issuer(list(KEYS)) as issuer:
        seconds = int(now.timestamp())
        text = token(
            issuer.url, tenant_id=TENANT, scope="events:write", iat=seconds - 60, nbf=seconds - 60, exp=seconds + 3600
        )
        async with (
            TokenVerifier([TokenIssuer(issuer=issuer.url, audiences=("cloudscale",))]) as tokens,
            Directory(find, cast("SharedCache", _Cache(records))) as directory,
        ):
            authentication = Authentication(directory, FailedAttempts(), tokens=tokens)
            callers = Callers(authentication, Budget(1, 1), required=True)
            # It is told of changes before it trusts what it knows.
            await asyncio.sleep(0.1)
            return {
                "key": await _cost_of(callers, made.text),
                "token": await _cost_of(callers, text),
            }


async def _cost_of(callers: Callers, text: str) -> float:
    headers: Any = _Headers(authorization=f"Bearer {text}")
    best = float("inf")
    for _ in range(TURNS + 1):
        nothing = _loop_seconds()
        began = time.process_time()
        for _ in range(CALLS):
            event: dict[str, Any] = {"eventType": "page_view"}
            caller = await callers.of(cast("RSGIHeaders", headers), CLIENT)
            assert caller is not None  # noqa: S101 - it was given a key
            callers.sender_of(caller, CLIENT)
            claim(event, caller, b"")
        best = min(best, time.process_time() - began - nothing)
    return round(best / CALLS * 1_000_000, 2)


def _loop_seconds() -> float:
    """What the loop itself takes."""
    began = time.process_time()
    for _ in range(CALLS):
        event: dict[str, Any] = {"eventType": "page_view"}
        assert event  # noqa: S101 - used
    return time.process_time() - began
