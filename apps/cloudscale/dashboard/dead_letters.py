"""The dead letters' routes: list them, look into one, replay or discard some or all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from starlette.routing import Route

from cloudscale import untrusted_json
from cloudscale.dashboard.responses import JsonResponse, RefusedError
from cloudscale.dashboard.sessions import actor_of, viewer_of
from cloudscale.ledger.audit import Act, named
from cloudscale.untrusted_json import UnreadableJsonError

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from cloudscale.dashboard.access import Viewer
    from cloudscale.ledger.audit import Audit
    from cloudscale.queue.dead_letters import DeadLetter, DeadLetters

SHOWN = 200
SHOWN_CHARACTERS = 100
LARGEST_SEQUENCE_NUMBER = 2**63 - 1
LISTED_AT_ONCE = 200


SequenceNumber = Annotated[int, msgspec.Meta(ge=0, le=LARGEST_SEQUENCE_NUMBER)]


class Choice(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """Which dead letters to act on: these, or all."""

    sequence_numbers: Annotated[list[SequenceNumber], msgspec.Meta(min_length=1, max_length=10_000)] | None = None
    all: bool = False


_choice = msgspec.json.Decoder(Choice)


class Progress(msgspec.Struct, rename="camel"):
    """An act that goes on: how many of the chosen dead letters are done. ``chosen`` is None where nobody knows."""

    who: str
    act: Act
    chosen: int | None
    done: int = 0

    def tell(self, done: int) -> None:
        """Note how many are done."""
        self.done = done


async def show_all(request: Request) -> Response:
    """The first dead letters that the viewer may see, how many there are at all, and what is being done with them."""
    viewer = await viewer_of(request)
    state = request.app.state
    letters: DeadLetters = await state.backends.dead_letters()
    seen = await visible(letters, viewer, limit=SHOWN + 1)
    running: list[Progress] = state.acts
    return JsonResponse(
        {
            "deadLetters": [summary(letter) for letter in seen[:SHOWN]],
            "more": len(seen) > SHOWN,
            "depth": state.collector.latest.dead_letter_depth if viewer.tenants is None else None,
            "running": [each for each in running if viewer.tenants is None or each.who == viewer.name],
        }
    )


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
    depth = request.app.state.collector.latest.dead_letter_depth
    progress = Progress(viewer.name, act, depth if numbers is None else len(numbers))
    running: list[Progress] = request.app.state.acts
    if running:
        # Each would hold messages that the other looks for.
        raise RefusedError(409, "Dead letters are being replayed or discarded already: wait until that is done.")
    running.append(progress)
    do = letters.replay if act == "replay" else letters.discard
    audit: Audit = request.app.state.audit
    try:
        done = await audit.recorded(
            # Without a number there is nothing to look for.
            lambda: _nothing() if numbers == [] else do(numbers, tell=progress.tell),
            who=viewer.name,
            act=act,
            what=named(numbers),
        )
    finally:
        running.remove(progress)
    return JsonResponse({"done": done})


async def _nothing() -> int:
    return 0


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
        # A browser's numbers are exact up to 2^53 only, and those of a partitioned queue are larger.
        "number": str(letter.sequence_number),
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
