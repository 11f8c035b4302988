from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as some
from tests.archive.archiving import events

from cloudscale.outlets.batches import LARGEST_BODY_BYTES, Waiting


@given(
    sizes=some.lists(some.sampled_from((1, 1000, 300_000, 999_000, 2_000_000)), max_size=12), size=some.integers(1, 5)
)
def test_requests_have_every_event_once_in_order_and_are_not_too_large(sizes: list[int], size: int) -> None:
    waiting = Waiting("crm", source="/", size=size)
    waiting.add([event | {"text": "x" * length} for event, length in zip(events(0, 12), sizes, strict=False)])
    sent: list[str] = []
    while waiting:
        request = waiting.first()
        assert waiting.first() is request
        assert 1 <= len(request.events) <= size
        assert len(request.events) == 1 or len(request.body) <= LARGEST_BODY_BYTES + size + 2
        content = msgspec.json.decode(request.body)
        assert isinstance(content, list) == (size > 1)
        sent += [event["id"] for event in request.events]
        waiting.remove_first()
    assert sent == [f"e{number}" for number in range(len(sizes))]


def test_the_same_events_together_have_the_same_id_and_others_another() -> None:
    def first(count: int, *, outlet: str = "crm") -> str:
        waiting = Waiting(outlet, source="/", size=count)
        waiting.add(events(0, 5))
        return waiting.first().id

    assert first(2) == first(2)
    assert len({first(1), first(2), first(2, outlet="lake")}) == 3
