"""The nodes of a namespace: queues, their dead-letter sub-queues and the management node of either."""

from __future__ import annotations

from dataclasses import dataclass

CBS = "$cbs"
MANAGEMENT = "/$management"
DEAD_LETTER = "/$deadletterqueue"


@dataclass(frozen=True, slots=True)
class Address:
    """What an address names: a queue, its dead-letter sub-queue, or the management node of either."""

    entity: str
    dead: bool = False
    management: bool = False

    @property
    def resource(self) -> str:
        """The path that a token has to cover."""
        return self.entity + DEAD_LETTER if self.dead else self.entity


def parse_address(path: str) -> Address:
    """Split the suffixes off a lower-case path."""
    management = path.endswith(MANAGEMENT)
    path = path.removesuffix(MANAGEMENT)
    dead = path.endswith(DEAD_LETTER)
    return Address(path.removesuffix(DEAD_LETTER), dead, management)
