from __future__ import annotations

import msgspec
import pytest

from cloudscale.cache.records import Acceptance
from cloudscale.queue.search import acceptances_in


def test_events_are_known_by_what_ingestion_added_to_them() -> None:
    added = {"tenantId": "t", "receivedAt": "1970-01-01T00:00:01.500000Z"}
    first = {**added, "id": "a", "acceptance": "1", "url": "/"}
    body = msgspec.json.encode([first, {**added, "id": "b", "acceptance": "2", "acceptedUnnamed": True}])

    assert acceptances_in(body) == [
        Acceptance("t", "a", "1", 1.5, acknowledged=True),
        Acceptance("t", "b", "2", 1.5, acknowledged=True, is_named=False),
    ]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[7, null]",
        b'[{"id":"\xff"}]',
        b"[" * 100_000,
        b'[{"id":7,"acceptance":"1"},{"id":{},"acceptance":[]}]',
    ],
)
def test_a_message_of_anybody_else_has_no_events(body: bytes) -> None:
    assert acceptances_in(body) == []
