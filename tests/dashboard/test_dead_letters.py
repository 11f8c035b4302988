"""Whatever is in a dead letter, the page shows it, and to nobody whom it does not concern."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request
from tests.dashboard.tokens import OWNER

from cloudscale.dashboard.access import Access, Viewer
from cloudscale.dashboard.dead_letter_views import is_visible, summary
from cloudscale.dashboard.dead_letters import discard, show_all
from cloudscale.dashboard.points import Point
from cloudscale.dashboard.responses import RefusedError
from cloudscale.dashboard.slow_answers import SlowAnswers
from cloudscale.ledger.audit import Audit
from cloudscale.queue.dead_letters import DeadLetter

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import Message

    from cloudscale.audit_record import Act

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=8), children, max_size=3),
    max_leaves=8,
)
EVENTS = st.dictionaries(st.sampled_from(["eventId", "eventType", "tenantId", "userId"]), ANYTHING)
BODIES = ANYTHING | st.lists(EVENTS | ANYTHING, max_size=4)


class Slow:
    """Dead letters that are discarded when the test says so."""

    def __init__(self) -> None:
        self.told = asyncio.Event()
        self.goes_on = asyncio.Event()

    async def list(self, **_: int) -> list[DeadLetter]:
        return []

    async def discard(self, _numbers: object, *, tell: Callable[[int], None]) -> int:
        tell(2)
        self.told.set()
        await self.goes_on.wait()
        return 3


class Unwritten(Audit):
    """An audit record that nobody reads."""

    def __init__(self) -> None: ...

    async def record(self, *, who: str, act: Act, what: str, outcome: str) -> None: ...


def request(state: object, *, body: bytes = b"") -> Request:
    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    headers = [(b"authorization", b"Bearer " + OWNER.encode()), (b"x-requested-with", b"cloudscale")]
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/",
        "query_string": b"",
        "headers": headers,
        "app": SimpleNamespace(state=state),
    }
    return Request(scope, receive)


async def test_an_act_shows_its_progress_and_keeps_a_second_one_out() -> None:
    letters = Slow()

    async def dead_letters() -> Slow:
        return letters

    access = Access({OWNER: Viewer("owner", may_act=True)})
    state = SimpleNamespace(
        tokens=SimpleNamespace(current=lambda: access),
        backends=SimpleNamespace(dead_letters=dead_letters),
        collector=SimpleNamespace(latest=Point(at=0, dead_letter_depth=3)),
        audit=Unwritten(),
        acts=[],
        surveys=SlowAnswers(60),
    )
    acting = asyncio.create_task(discard(request(state, body=b'{"all":true}')))
    await letters.told.wait()

    shown = msgspec.json.decode((await show_all(request(state))).body)
    assert shown["running"] == [{"who": "owner", "act": "discard", "chosen": 3, "done": 2}]
    with pytest.raises(RefusedError, match="already"):
        await discard(request(state, body=b'{"all":true}'))

    letters.goes_on.set()
    assert msgspec.json.decode((await acting).body) == {"done": 3}
    assert msgspec.json.decode((await show_all(request(state))).body)["running"] == []


def test_a_number_beyond_what_a_browser_counts_exactly_is_text_too() -> None:
    large = msgspec.structs.replace(letter([]), sequence_number=2**53 + 1)

    assert summary(large)["number"] == "9007199254740993"


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
