"""The locks of messages: who was given a message has it alone until the lock is settled, returned or expires."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloudscale.emulators.servicebus.conditions import MessageLockLostError
from cloudscale.emulators.servicebus.deadlines import Deadlines

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cloudscale.emulators.servicebus.availability import Availability
    from cloudscale.emulators.servicebus.sessions import Session, Sessions
    from cloudscale.emulators.servicebus.storage import QueueStorage
    from cloudscale.emulators.servicebus.stored import StoredMessage


class Locks:
    """The locked messages of one queue, by token. A message of a session is locked as long as the session is."""

    def __init__(self, storage: QueueStorage, availability: Availability, sessions: Sessions) -> None:
        self.held: dict[bytes, StoredMessage] = {}
        self._storage = storage
        self._availability = availability
        self._sessions = sessions
        self._deadlines: Deadlines[bytes] = Deadlines(self._due)

    def lock(self, message: StoredMessage, token: bytes, session: Session | None, *, now: int) -> None:
        """Lock a message, by itself or with the session that it is given in."""
        message.lock_token = token
        self.held[token] = message
        if session is None:
            self._extend(message, token, now)
        else:
            message.locked_until = session.locked_until
            session.tokens.add(token)

    def renew(self, token: bytes, *, now: int) -> int:
        """Extend a lock; return the moment it will expire.

        Raises:
            MessageLockLostError: the lock has expired.
        """
        message = self.held.get(token)
        if message is None:
            raise self._lost()
        return self._extend(message, token, now)

    def unlock(self, token: bytes) -> StoredMessage:
        """End a lock; return its message.

        Raises:
            MessageLockLostError: the token is no lock (any more).
            EntityNotFoundError: the queue was deleted.
        """
        message = self.held.pop(token, None)
        if message is None:
            raise self._lost()
        message.lock_token = message.locked_until = None
        if message.session_id is not None and (session := self._sessions.held.get(message.session_id)) is not None:
            session.tokens.discard(token)
        return message

    def expired(self, now: int) -> Iterator[bytes]:
        """The locks that have expired, earliest first. They are held still."""
        return self._deadlines.due(now)

    def _extend(self, message: StoredMessage, token: bytes, now: int) -> int:
        message.locked_until = now + self._storage.state.description.lock_duration
        self._deadlines.push(message.locked_until, token)
        return message.locked_until

    def _due(self, token: bytes) -> int | None:
        message = self.held.get(token)
        return None if message is None else message.locked_until

    def _lost(self) -> MessageLockLostError:
        self._availability.check()
        return MessageLockLostError(
            f"the lock of a message in queue {self._storage.state.description.name!r} expired, or the message is "
            "settled already: it will be delivered again unless it was completed"
        )
