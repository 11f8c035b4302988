"""Sends one event until it is taken: ``python3 send.py URL``. Python's standard library is enough.

``CLOUDSCALE_KEY`` is the API key, where one is needed.
"""

from __future__ import annotations

import json
import os
import sys
import time
import uuid
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

ATTEMPTS = 8
TIMEOUT_SECONDS = 10
COME_BACK = {408, 429, 500, 502, 503, 504}


def send(url: str, event: dict[str, object]) -> int:
    """Send an event that names itself by ``eventId``, again where that may help; the status of the last answer.

    Raises:
        URLError: there was no answer, however often.
    """
    body = json.dumps(event).encode()
    headers = {"Content-Type": "application/json"}
    if key := os.environ.get("CLOUDSCALE_KEY"):
        headers["Authorization"] = f"Bearer {key}"
    request = Request(f"{url}/api/v1/events", body, headers)
    for attempt in range(1, ATTEMPTS + 1):
        wait_seconds = min(30.0, 0.25 * 2**attempt)
        try:
            with urlopen(request, timeout=TIMEOUT_SECONDS) as answer:
                return int(answer.status)
        except HTTPError as refusal:
            # 409: an earlier attempt was taken, and only its answer was lost.
            if refusal.code not in COME_BACK or attempt == ATTEMPTS:
                return refusal.code
            wait_seconds = float(refusal.headers.get("Retry-After", wait_seconds))
        except URLError:
            if attempt == ATTEMPTS:
                raise
        time.sleep(wait_seconds)
    raise AssertionError("the last attempt returns or raises")


if __name__ == "__main__":
    status = send(
        sys.argv[1],
        {
            "eventType": "page_view",
            "eventId": str(uuid.uuid4()),
            "tenantId": "shop",
            "userId": "ada",
            "url": "https://shop.example/shoes",
        },
    )
    print(f"python: {status}")
    sys.exit(status not in (200, 202, 409))
