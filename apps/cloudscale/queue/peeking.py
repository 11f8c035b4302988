"""Looks at messages without locking them, through a link that stays open between one look and the next."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from cloudscale.errors import BackendUnavailableError, CredentialError

if TYPE_CHECKING:
    from collections.abc import Callable

    from azure.servicebus import ServiceBusReceivedMessage

    from cloudscale.queue.receiver import MessageReceiver

log = structlog.get_logger(__name__)

PEEK_SECONDS = 20.0


class Peeking:
    """Peeks through receivers that ``make`` makes, one at a time; the SDK takes half a second to open or close one."""

    def __init__(self, make: Callable[[], MessageReceiver]) -> None:
        self._make = make
        self._turn = asyncio.Lock()
        self._receiver: MessageReceiver | None = None

    async def peek(self, count: int, *, after: int = 0) -> list[ServiceBusReceivedMessage]:
        """Up to ``count`` messages with sequence numbers above ``after``.

        Raises:
            BackendUnavailableError, CredentialError: the broker cannot be asked.
        """
        async with self._turn:
            if self._receiver is not None:
                try:
                    return await self._ask(self._receiver, count, after)
                except BackendUnavailableError as error:
                    # The broker ends links that were idle for long.
                    log.info("the link for peeking is opened again", error=str(error))
            self._receiver = await self._make().__aenter__()
            return await self._ask(self._receiver, count, after)

    async def _ask(self, receiver: MessageReceiver, count: int, after: int) -> list[ServiceBusReceivedMessage]:
        try:
            async with asyncio.timeout(PEEK_SECONDS):
                return await receiver.peek(count, after=after)
        except TimeoutError as error:
            await self.close()
            raise BackendUnavailableError(f"the broker did not answer a peek within {PEEK_SECONDS:g} s") from error
        except BaseException:
            # An answer that comes late would be taken for that of the next question.
            await self.close()
            raise

    async def close(self) -> None:
        """Close the link if it is open; the next peek opens one."""
        receiver, self._receiver = self._receiver, None
        if receiver is None:
            return
        try:
            await receiver.__aexit__(None, None, None)
        except (BackendUnavailableError, CredentialError, TimeoutError) as error:
            log.info("the link for peeking could not be closed", error=str(error))
