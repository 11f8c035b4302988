"""The acts that are recorded, and what those who act need of the record: :mod:`cloudscale.ledger.audit` keeps it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

Act = Literal[
    "replay",
    "discard",
    "create tenant",
    "change tenant",
    "create key",
    "change key",
    "rotate key",
    "revoke key",
    "create device",
]

T = TypeVar("T")


class AuditRecord(Protocol):
    """Where acts are recorded, as :class:`cloudscale.ledger.audit.Audit` is."""

    async def around(
        self,
        do: Callable[[], Awaitable[T]],
        *,
        who: str,
        act: Act,
        what: str,
        outcome: Callable[[T], str],
        unrecorded: Callable[[], None] | None = None,
    ) -> T:
        """Do something that is recorded.

        If it cannot be recorded, it is not done; or it is done all the same and ``unrecorded`` is called, where given.
        """
        ...
