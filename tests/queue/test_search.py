from __future__ import annotations

import msgspec
import pytest

from cloudscale.queue.search import names_in


def test_events_are_known_by_their_id_and_token() -> None:
    body = msgspec.json.encode([{"id": "a", "acceptance": "1"}, {"id": "b", "acceptance": "2", "url": "/"}])

    assert names_in(body) == {("a", "1"), ("b", "2")}


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
    assert names_in(body) == set()
