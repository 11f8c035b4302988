"""Sessions: one receiver at a time holds all messages of a session, in order, until it closes or its lock expires."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cloudscale.emulators.servicebus.conditions import (
    AcceptTimeoutError,
    SessionCannotBeLockedError,
    SessionLockLostError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from cloudscale.emulators.servicebus.conditions import ConditionError


@dataclass(slots=True, eq=False)
class Session:
    """A session that a receiver holds. ``tokens`` are the locks of messages it was given and has not settled."""

    identifier: str
    locked_until: int
    lost: Callable[[], None]
    tokens: set[bytes] = field(default_factory=set)


@dataclass(slots=True, eq=False)
class Acceptance:
    """A receiver that waits for a session until ``deadline``, and is told its id or why it gets none."""

    deadline: int
    accept: Callable[[str], None]
    decline: Callable[[ConditionError], None]


class Sessions:
    """Which sessions of a queue are held, and who waits for the next one that has messages."""

    def __init__(self) -> None:
        self.held: dict[str, Session] = {}
        self.waiting: deque[Acceptance] = deque()

    def hold(self, identifier: str, locked_until: int, lost: Callable[[], None]) -> Session:
        """Lock a session for a receiver; ``lost`` is called when the lock expires.

        Raises:
            SessionCannotBeLockedError: another receiver holds it.
        """
        if identifier in self.held:
            raise SessionCannotBeLockedError(
                f"session {identifier!r} is locked by another receiver: close that one, or wait for its lock to expire"
            )
        session = self.held[identifier] = Session(identifier, locked_until, lost)
        return session

    def release(self, session: Session) -> bool:
        """Give a session free; say whether it was held still."""
        if self.held.get(session.identifier) is not session:
            return False
        del self.held[session.identifier]
        return True

    def renew(self, identifier: str, locked_until: int) -> None:
        """Extend the lock of a session.

        Raises:
            SessionLockLostError: nobody holds it.
        """
        session = self.held.get(identifier)
        if session is None:
            raise SessionLockLostError(f"the lock of session {identifier!r} expired: accept the session again")
        session.locked_until = locked_until

    def expired(self, now: int) -> list[Session]:
        """The sessions whose lock has expired."""
        return [session for session in self.held.values() if session.locked_until <= now]

    def withdraw(self, acceptance: Acceptance) -> None:
        """Take back that a receiver waits."""
        if acceptance in self.waiting:
            self.waiting.remove(acceptance)

    def offer(self, ready: Iterable[str]) -> None:
        """Hand sessions with messages to the receivers that wait, first come, first served."""
        for identifier in ready:
            if not self.waiting:
                return
            while self.waiting and identifier not in self.held:
                self.waiting.popleft().accept(identifier)

    def end(self, error: ConditionError) -> None:
        """Forget every session, and tell those who wait for one why there will be none."""
        self.held.clear()
        while self.waiting:
            self.waiting.popleft().decline(error)

    def give_up(self, now: int) -> None:
        """Tell the receivers whose time is over that there is no session."""
        overdue = [acceptance for acceptance in self.waiting if acceptance.deadline <= now]
        for acceptance in overdue:
            self.waiting.remove(acceptance)
            acceptance.decline(AcceptTimeoutError("no session had messages in time: accept again"))
