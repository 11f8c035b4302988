"""Removes the documents whose time to live has run out, and keeps the others in the orders that queries ask for."""

import asyncio
import sqlite3
from functools import partial
from typing import Final

import structlog

from cloudscale.emulators.cosmos.emulator import Emulator
from cloudscale.emulators.cosmos.errors import CosmosError
from cloudscale.emulators.cosmos.orderings import keep_in_order

REAP_SECONDS: Final = 5.0
REAP_SLICE: Final = 200

log = structlog.get_logger()


async def reap_regularly(emulator: Emulator) -> None:
    """Reap, and keep order, every few seconds until cancelled."""
    seen: dict[int, int] = {}
    while True:
        await asyncio.sleep(REAP_SECONDS)
        await reap(emulator)
        await keep_in_order(emulator, seen)


async def reap(emulator: Emulator) -> None:
    """Remove all expired documents, a few in each write so that others do not wait.

    A container that cannot be reaped now, because the disk is full or because it is being deleted, is logged and left
    for the next time.
    """
    for documents in emulator.catalogue.all_containers():
        try:
            while numbers := documents.expired(REAP_SLICE):
                await emulator.storage.write(partial(documents.expire, numbers))
        except (CosmosError, sqlite3.Error) as error:
            log.warning("cannot remove expired documents", container=documents.container.id, error=str(error))
