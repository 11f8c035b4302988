"""What the operator remembers of a pipeline between two visits; losing it costs requests, and no event."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cloudscale_operator.announcements import Thresholds
from cloudscale_operator.credentials import CredentialCache
from cloudscale_operator.pods import PodTroubles

if TYPE_CHECKING:
    from datetime import datetime


@dataclass
class Memory:
    """One pipeline, as long as it has this ``uid``."""

    uid: str
    credentials: CredentialCache = field(default_factory=CredentialCache)
    pods: PodTroubles = field(default_factory=PodTroubles)
    stopped: datetime | None = None
    """Since when no ingestion pod has been there during a deletion."""
    unserved_since: datetime | None = None
    """Since when a pipeline without workers has needed one and had none."""
    released: bool = False
    """The deletion has come to its end: nothing may be made again while the last of it goes."""
    unanswered: int = 0
    """Visits in a row during which the API server did not answer as it should."""
    thresholds: Thresholds = field(default_factory=Thresholds)
