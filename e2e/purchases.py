"""Real purchases: CDNOW's, 1997 to 1998."""

from __future__ import annotations

import gzip
import json
import os
from itertools import islice
from pathlib import Path
from typing import Any

from e2e.cluster import ROOT

# All of them are not part of the repository, a sample is.
EVERYTHING = Path(os.environ.get("CLOUDSCALE_PURCHASES", ""))
SAMPLE = ROOT / "examples/purchases-sample.jsonl"


def purchases(count: int, *, prefix: str = "") -> list[dict[str, Any]]:
    """The first so many purchases (fewer where only the sample is), their ids prefixed to tell runs apart."""
    with gzip.open(EVERYTHING, "rt") if EVERYTHING.is_file() else SAMPLE.open() as lines:
        events = [json.loads(line) for line in islice(lines, count)]
    return [event | {"eventId": f"{prefix}{event['eventId']}"} for event in events]


def page_views(count: int, *, prefix: str) -> list[dict[str, Any]]:
    """So many small events with ids of their own."""
    return [
        {"eventType": "page_view", "eventId": f"{prefix}-{number:06}", "tenantId": "e2e", "url": "https://example.com/"}
        for number in range(count)
    ]
