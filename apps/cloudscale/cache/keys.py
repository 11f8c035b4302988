"""Names of everything that a pipeline keeps in Redis; pipelines that share a Redis do not meet."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cloudscale.pipeline import EventPipeline


class Keys:
    """The Redis keys of one pipeline. A name that ends in a colon is a prefix."""

    def __init__(self, *, namespace: str, name: str) -> None:
        self.prefix = f"cloudscale:{namespace}/{name}:"
        self.inflight = self.prefix + "inflight"
        self.depth = self.prefix + "depth"
        self.ledger = self.prefix + "ledger:"
        self.totals = self.ledger + "totals"
        self.applied = self.prefix + "applied:"
        self.dead = self.prefix + "dead"
        self.unnamed_ended = self.prefix + "unnamed:"
        self.velocity = self.prefix + "velocity:"
        self.fraud = self.prefix + "fraud:"
        self.idempotency = self.prefix + "idempotency:"
        self.client = self.prefix + "client:"
        self.global_window = self.prefix + "global:"
        self.sessions = self.prefix + "dashboard:session:"
        self.sign_ins = self.prefix + "dashboard:sign-in:"
        self.figures = self.prefix + "figures"
        self.history = self.prefix + "dashboard:history"
        self.history_of_day = self.prefix + "dashboard:history:day"
        self.history_of_week = self.prefix + "dashboard:history:week"
        self.history_writer = self.prefix + "dashboard:writer"
        self.audit = self.prefix + "audit"
        self.refused = self.prefix + "refused:"
        self.access = self.prefix + "access:"
        self.access_version = self.access + "version"
        self.access_changes = self.access + "changes"
        self.devices = self.prefix + "device:"
        self.new_devices = self.prefix + "devices:new"
        self.access_used = self.access + "used"
        # Counters of versions that kept them without a bound; see cloudscale.ledger.migration.
        self.former_accepted = self.prefix + "accepted"
        self.former_duplicates = self.prefix + "duplicates"
        self.former_dead_letters = self.prefix + "deadletters"

    def hour(self, hour: str) -> str:
        """The hash that counts an hour, given as ``yyyy-MM-ddTHH``."""
        return self.ledger + hour

    def velocity_of(self, sender: str) -> str:
        """The requests of a client address, or of a user."""
        return self.velocity + sender

    def fraud_of(self, subject: str) -> str:
        """What a fraud rule keeps of a subject, such as a user."""
        return self.fraud + subject


def keys_of(pipeline: EventPipeline) -> Keys:
    """The Redis keys of ``pipeline``."""
    return Keys(namespace=pipeline.metadata.namespace, name=pipeline.metadata.name)
