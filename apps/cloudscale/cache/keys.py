"""Names of everything that a pipeline keeps in Redis; pipelines that share a Redis do not meet."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cloudscale.pipeline import EventPipeline


UNNAMED = "unnamed"
"""Third part of the fields in ``accepted`` that count what was accepted while Redis was away, which ``inflight`` never
named."""


class Keys:
    """The Redis keys of one pipeline."""

    def __init__(self, *, namespace: str, name: str) -> None:
        self.prefix = f"cloudscale:{namespace}/{name}:"
        self.inflight = self.prefix + "inflight"
        self.accepted = self.prefix + "accepted"
        self.applied = self.prefix + "applied:"
        self.duplicates = self.prefix + "duplicates"
        self.dead_letters = self.prefix + "deadletters"
        self.dead = self.prefix + "dead"
        self.unnamed_ended = self.prefix + "unnamed:"
        self.velocity = self.prefix + "velocity:"
        self.idempotency = self.prefix + "idempotency:"
        self.client = self.prefix + "client:"
        self.global_window = self.prefix + "global:"
        self.sessions = self.prefix + "dashboard:session:"


def keys_of(pipeline: EventPipeline) -> Keys:
    """The Redis keys of ``pipeline``."""
    return Keys(namespace=pipeline.metadata.namespace, name=pipeline.metadata.name)
