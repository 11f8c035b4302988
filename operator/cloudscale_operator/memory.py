"""What the operator remembers of a pipeline between two reconciles. Losing it costs requests, never an event."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cloudscale_operator.credentials import CredentialCache
from cloudscale_operator.event_recorder import Thresholds
from cloudscale_operator.generated_secrets import GeneratedSecrets
from cloudscale_operator.pods import PodProblems

if TYPE_CHECKING:
    from datetime import datetime

    from cloudscale_operator.timing import Timing


@dataclass
class Memory:
    """One pipeline, as long as it has this ``uid``."""

    uid: str
    credentials: CredentialCache
    secrets: GeneratedSecrets
    pods: PodProblems
    stopped: datetime | None = None
    """Since when no ingestion pod has been there during a deletion."""
    unserved_since: datetime | None = None
    """Since when a pipeline without workers has needed one and had none."""
    released: bool = False
    """The finalizer is being removed: no object may be created again."""
    unanswered: int = 0
    """Visits in a row during which the API server did not answer as it should."""
    thresholds: Thresholds = field(default_factory=Thresholds)

    @classmethod
    def of(cls, uid: str, *, timing: Timing) -> Memory:
        """The empty memory of a pipeline that is seen for the first time."""
        return cls(uid, CredentialCache(timing=timing), GeneratedSecrets(timing=timing), PodProblems(timing=timing))

    def note_service(self, *, is_unserved: bool, now: datetime) -> None:
        """Remember since when the pipeline has needed a worker and had none."""
        self.unserved_since = (self.unserved_since or now) if is_unserved else None
