"""The dead letters' routes: list them, look into one, replay or discard some or all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from starlette.routing import Route

from cloudscale import untrusted_json
from cloudscale.dashboard.responses import JsonResponse, RefusedError
from cloudscale.dashboard.sessions import actor_of, viewer_of
from cloudscale.untrusted_json import UnreadableJsonError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.requests import Request
    from starlette.responses import Response

    from cloudscale.dashboard.access import Viewer
    from cloudscale.dashboard.audit import Act, Audit
    from cloudscale.queue.dead_letters import DeadLetter, DeadLetters

SHOWN = 200
SHOWN_CHARACTERS = 100
LARGEST_SEQUENCE_NUMBER = 2**63 - 1
LISTED_AT_ONCE = 200
NAMED = 50
"""Sequence numbers in one entry of the audit record."""


SequenceNumber = Annotated[int, msgspec.Meta(ge=0, le=LARGEST_SEQUENCE_NUMBER)]


class Choice(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """Which dead letters to act on: these, or all."""

    sequence_numbers: Annotated[list[SequenceNumber], msgspec.Meta(min_length=1, max_length=10_000)] | None = None
    all: bool = False


_choice = msgspec.json.Decoder(Choice)


async def show_all(request: Request) -> Response:
    """The first dead letters that the viewer may see."""
    viewer = await viewer_of(request)
    letters: DeadLetters = await request.app.state.backends.dead_letters()
    seen = await visible(letters, viewer, limit=SHOWN + 1)
    return JsonResponse({"deadLetters": [summary(letter) for letter in seen[:SHOWN]], "more": len(seen) > SHOWN})


async def show(request: Request) -> Response:
    """One dead letter with its message."""
    viewer = await viewer_of(request)
    number = request.path_params["sequence_number"]
    if number > LARGEST_SEQUENCE_NUMBER:
        raise RefusedError(404, "No dead letter has so large a number.")
    letters: DeadLetters = await request.app.state.backends.dead_letters()
    letter = await letters.show(number)
    if letter is None or not is_visible(letter, viewer):
        raise RefusedError(404, "This dead letter is not there any more. Somebody replayed or discarded it.")
    return JsonResponse({"deadLetter": summary(letter) | {"body": letter.body}})


async def replay(request: Request) -> Response:
    """Send dead letters to the queue again."""
    return await _act(request, "replay")


async def discard(request: Request) -> Response:
    """Remove dead letters for good."""
    return await _act(request, "discard")


async def _act(request: Request, act: Act) -> Response:
    viewer = await actor_of(request)
    try:
        choice = untrusted_json.decode(await request.body(), _choice)
    except UnreadableJsonError as error:
        raise RefusedError(400, f"Name the dead letters as sequenceNumbers, or say all: {error}") from None
    if choice.all == (choice.sequence_numbers is not None):
        raise RefusedError(400, "Name the dead letters as sequenceNumbers, or say all, and not both.")
    letters: DeadLetters = await request.app.state.backends.dead_letters()
    numbers = await _permitted(letters, viewer, choice)
    what = _named(numbers)
    audit: Audit = request.app.state.audit
    # An act that cannot be recorded is not done.
    await audit.record(who=viewer.name, act=act, what=what, outcome="asked for")
    try:
        do = letters.replay if act == "replay" else letters.discard
        done = 0 if numbers == [] else await do(numbers)
    except Exception as error:
        await audit.record(who=viewer.name, act=act, what=what, outcome=f"failed: {error}")
        raise
    await audit.record(who=viewer.name, act=act, what=what, outcome=f"{done} done")
    return JsonResponse({"done": done})


def _named(numbers: Sequence[int] | None) -> str:
    """The dead letters as the audit record names them."""
    if numbers is None:
        return "all dead letters"
    more = len(numbers) - NAMED
    return ", ".join(map(str, numbers[:NAMED])) + (f" and {more} more" if more > 0 else "")


async def _permitted(letters: DeadLetters, viewer: Viewer, choice: Choice) -> list[int] | None:
    """The chosen dead letters that the viewer may act on; None for all there are.

    Raises:
        RefusedError: one of those that are named belongs to somebody else.
    """
    if viewer.tenants is None:
        return choice.sequence_numbers
    own = {letter.sequence_number for letter in await visible(letters, viewer, limit=10_000)}
    if choice.sequence_numbers is None:
        return sorted(own)
    if not own.issuperset(choice.sequence_numbers):
        raise RefusedError(403, "Not all of these dead letters are of a tenant that this access token is for.")
    return choice.sequence_numbers


async def visible(letters: DeadLetters, viewer: Viewer, *, limit: int) -> list[DeadLetter]:
    """The first ``limit`` dead letters that the viewer may see, looked for in all of them."""
    found: list[DeadLetter] = []
    after = 0
    while len(found) < limit:
        page = await letters.list(after=after, limit=LISTED_AT_ONCE)
        if not page:
            break
        found += [letter for letter in page if is_visible(letter, viewer)]
        after = page[-1].sequence_number
    return found[:limit]


def is_visible(letter: DeadLetter, viewer: Viewer) -> bool:
    """Whether all events of a dead letter are the viewer's; one without events belongs to nobody."""
    return viewer.tenants is None or (
        bool(letter.events) and all(viewer.sees(event.get("tenantId")) for event in letter.events)
    )


def summary(letter: DeadLetter) -> dict[str, Any]:
    """A dead letter without its message."""
    event = letter.events[0] if letter.events else {}
    return {
        "sequenceNumber": letter.sequence_number,
        "reason": letter.reason,
        "description": letter.description,
        "attempts": letter.attempts,
        "enqueuedAt": letter.enqueued_at,
        "events": len(letter.events),
        "eventId": _as_text(event.get("eventId")),
        "eventType": _as_text(event.get("eventType")),
        "tenantId": _as_text(event.get("tenantId")),
    }


def _as_text(value: object) -> str | None:
    """A field of a dead letter to be shown: it may be anything, and that may be why the letter is dead."""
    if value is None or isinstance(value, str):
        return value
    return msgspec.json.encode(value).decode()[:SHOWN_CHARACTERS]


routes = [
    Route("/api/dead-letters", show_all, methods=["GET"]),
    Route("/api/dead-letters/replay", replay, methods=["POST"]),
    Route("/api/dead-letters/discard", discard, methods=["POST"]),
    Route("/api/dead-letters/{sequence_number:int}", show, methods=["GET"]),
]
