"""Whether a queue is there, takes and gives messages, and is in use by anybody."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloudscale.emulators.servicebus.conditions import EntityDisabledError, EntityNotFoundError
from cloudscale.emulators.servicebus.description import FOREVER_MILLISECONDS

if TYPE_CHECKING:
    from cloudscale.emulators.servicebus.description import QueueDescription
    from cloudscale.emulators.servicebus.storage import QueueStorage


class Availability:
    """What the status of one queue allows, and when it was last used (milliseconds since the epoch)."""

    def __init__(self, storage: QueueStorage, now: int) -> None:
        self.deleted = False
        self._storage = storage
        self._used = now

    @property
    def _description(self) -> QueueDescription:
        return self._storage.state.description

    def check(self) -> None:
        """See that the queue is there still.

        Raises:
            EntityNotFoundError: it was deleted; one of the same name is another.
        """
        if self.deleted:
            raise self.gone()

    def check_sending(self) -> None:
        """See that the queue takes messages.

        Raises:
            EntityDisabledError: its status forbids to send.
            EntityNotFoundError: it was deleted.
        """
        self.check()
        if not self._description.status.takes_messages:
            raise self._disabled("takes no messages")

    def check_receiving(self) -> None:
        """See that the queue gives messages.

        Raises:
            EntityDisabledError: its status forbids to receive.
            EntityNotFoundError: it was deleted.
        """
        self.check()
        if not self._description.status.gives_messages:
            raise self._disabled("gives no messages")

    def use(self, now: int) -> None:
        """Note that somebody uses the queue."""
        self._used = now

    def is_idle(self, now: int) -> bool:
        """Whether nobody has used the queue for as long as makes the service delete it."""
        limit = self._description.auto_delete_on_idle
        return limit < FOREVER_MILLISECONDS and now - self._used >= limit

    def gone(self) -> EntityNotFoundError:
        """The error for those who hold on to a queue that was deleted."""
        return EntityNotFoundError(f"the queue {self._description.name!r} was deleted: create it, and attach again")

    def _disabled(self, what: str) -> EntityDisabledError:
        description = self._description
        return EntityDisabledError(f"the queue {description.name!r} {what}: its status is {description.status}")
