"""Delays between two reconciles of a pipeline, by how the last one ended."""

from __future__ import annotations

RESYNC_SECONDS = 60.0
"""Between two reconciles of a pipeline of which no change is seen."""
DRAIN_SECONDS = 2.0
"""The same during a deletion."""
REFUSED_SECONDS = 30.0
"""Until what the API server refused is tried again: an administrator may have changed a quota or a role."""
MISSING_SECONDS = 10.0
"""Until a Secret that was missing is read again."""
UNAVAILABLE_SECONDS = 5.0
"""Until the next try when the API server did not answer."""
STALE_SECONDS = 1.0
"""Until the next try when the watches have not shown the latest state yet."""
UNANSWERED_VISITS = 5
"""Visits without an answer of the API server after which the status says so; a single lost answer is ignored."""
