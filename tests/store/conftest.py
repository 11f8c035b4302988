from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Literal

import pytest

from cloudscale.pipeline import Store
from cloudscale.store.events import EventStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from cloudscale.settings import Settings


@pytest.fixture
def spec(request: pytest.FixtureRequest) -> Store:
    """A database of the test's own, written to by the protocol that it is parametrized with."""
    protocol: Literal["Rest", "Sdk"] = getattr(request, "param", "Rest")
    return Store(database=f"d{uuid.uuid4().hex[:12]}", time_to_live="1h", write_protocol=protocol)


@pytest.fixture
async def store(spec: Store, settings: Settings) -> AsyncIterator[EventStore]:
    async with EventStore(spec, settings) as opened:
        await opened.ensure()
        yield opened
