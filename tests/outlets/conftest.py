from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest
from tests.outlets.receiving import ReceiverServer, receiving

from cloudscale.pipeline import Store
from cloudscale.store.events import EventStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from cloudscale.settings import Settings


@pytest.fixture
def spec() -> Store:
    """A database of the test's own."""
    return Store(database=f"d{uuid.uuid4().hex[:12]}")


@pytest.fixture
async def store(spec: Store, settings: Settings) -> AsyncIterator[EventStore]:
    async with EventStore(spec, settings) as opened:
        await opened.ensure(followers=True, outlets=True)
        yield opened


@pytest.fixture
async def receiver() -> AsyncIterator[ReceiverServer]:
    async with receiving() as server:
        yield server
