"""How a reconcile ends without having reached what the resource asks for."""

from __future__ import annotations

from cloudscale.errors import CloudScaleError


class PostponedError(CloudScaleError):
    """A pipeline cannot be reconciled now. ``retry_after_seconds`` is when to try again at the earliest."""

    def __init__(self, message: str, *, retry_after_seconds: float) -> None:
        self.retry_after_seconds = retry_after_seconds
        super().__init__(message)


class ImpossibleError(CloudScaleError):
    """A pipeline cannot be reconciled until its specification changes; its status says why."""
