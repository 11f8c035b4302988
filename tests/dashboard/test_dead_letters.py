"""Whatever is in a dead letter, the page shows it, and to nobody whom it does not concern."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from cloudscale.dashboard.access import Viewer
from cloudscale.dashboard.dead_letters import is_visible, summary
from cloudscale.queue.dead_letters import DeadLetter

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=8), children, max_size=3),
    max_leaves=8,
)
EVENTS = st.dictionaries(st.sampled_from(["eventId", "eventType", "tenantId", "userId"]), ANYTHING)
BODIES = ANYTHING | st.lists(EVENTS | ANYTHING, max_size=4)


def letter(body: Any) -> DeadLetter:
    return DeadLetter(
        sequence_number=1, reason="ValidationFailed", description="", attempts=1, enqueued_at=None, body=body
    )


@given(BODIES)
def test_every_dead_letter_has_a_summary_of_texts(body: Any) -> None:
    shown = summary(letter(body))
    msgspec.json.encode(shown)
    assert all(shown[name] is None or isinstance(shown[name], str) for name in ("eventId", "eventType", "tenantId"))


@given(BODIES)
def test_a_tenant_s_viewer_sees_only_letters_whose_events_are_all_of_that_tenant(body: Any) -> None:
    viewer = Viewer("ann", frozenset({"acme"}))
    events = [item for item in body if isinstance(item, dict)] if isinstance(body, list) else []
    own = bool(events) and all(event.get("tenantId") == "acme" for event in events)
    assert is_visible(letter(body), viewer) == own
    assert is_visible(letter(body), Viewer("owner"))


def test_lists_and_objects_in_an_event_are_shown_as_they_are_written() -> None:
    shown = summary(letter([{"eventType": ["page_view"], "tenantId": {"a": 1}, "eventId": 7}]))
    assert (shown["eventType"], shown["tenantId"], shown["eventId"]) == ('["page_view"]', '{"a":1}', "7")
