"""What drives a queue without a server: a clock of our own, and a consumer that remembers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloudscale.emulators.servicebus.authorization import SharedAccessKey
from cloudscale.emulators.servicebus.message import pack

if TYPE_CHECKING:
    from cloudscale.emulators.servicebus.sessions import Session
    from cloudscale.emulators.servicebus.stored import StoredMessage

KEY = SharedAccessKey("name", "key")
LOCK_MILLISECONDS = 30_000


class Clock:
    """Milliseconds that pass only when told."""

    def __init__(self) -> None:
        self.now = 1_000_000

    def __call__(self) -> int:
        return self.now


class Reader:
    """A consumer that remembers what it was given."""

    def __init__(self, credit: int, *, deletes: bool = False) -> None:
        self.credit = credit
        self.deletes = deletes
        self.session: Session | None = None
        self.tokens: dict[bytes, StoredMessage] = {}
        self.sequences: list[int] = []

    def deliver(self, message: StoredMessage, token: bytes) -> None:
        self.credit -= 1
        self.tokens[token] = message
        self.sequences.append(message.sequence)


def body(text: bytes = b"x") -> bytes:
    return pack(0, b"", b"\x00\x53\x75\xa0" + bytes((len(text),)) + text)
