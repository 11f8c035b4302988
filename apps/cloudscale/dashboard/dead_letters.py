"""The dead letters' routes: list them, look into one, replay or discard some or all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec
from starlette.routing import Route

from cloudscale import untrusted_json
from cloudscale.audit_record import Act
from cloudscale.dashboard.dead_letter_survey import Survey, survey, survey_of
from cloudscale.dashboard.dead_letter_views import is_visible, summary
from cloudscale.dashboard.responses import JsonResponse, RefusedError
from cloudscale.dashboard.sessions import actor_of, viewer_of
from cloudscale.ledger.audit import named
from cloudscale.untrusted_json import UnreadableJsonError

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from cloudscale.dashboard.access import Viewer
    from cloudscale.dashboard.slow_answers import SlowAnswers
    from cloudscale.ledger.audit import Audit
    from cloudscale.queue.dead_letters import DeadLetter, DeadLetters

SHOWN = 200
LARGEST_SEQUENCE_NUMBER = 2**63 - 1
LISTED_AT_ONCE = 200
ACTED_ON = 10_000
"""Dead letters at the most that are chosen one by one, or by their reason."""

SequenceNumber = Annotated[int, msgspec.Meta(ge=0, le=LARGEST_SEQUENCE_NUMBER)]


class Choice(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """Which dead letters to act on: these, those with a reason, or all."""

    sequence_numbers: Annotated[list[SequenceNumber], msgspec.Meta(min_length=1, max_length=ACTED_ON)] | None = None
    reason: str | None = None
    all: bool = False

    @property
    def is_clear(self) -> bool:
        """Whether it says one thing only."""
        return [self.sequence_numbers is not None, self.reason is not None, self.all].count(True) == 1


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
    """The first dead letters that the viewer may see, of one reason if it is given, and how many each reason has.

    ``reasons`` counts among the first ``lookedAt`` dead letters, which are all of them with ``isAll``. It is None while
    they are looked through; 202 says that there is nothing to show until then.
    """
    viewer = await viewer_of(request)
    state = request.app.state
    letters: DeadLetters = await state.backends.dead_letters()
    reason = request.query_params.get("reason") or None
    first = await letters.list(limit=SHOWN + 1)
    if len(first) <= SHOWN:
        known: Survey | None = survey_of(first, viewer)
    else:
        surveys: SlowAnswers[Survey] = state.surveys
        known = await surveys.get(viewer.tenants, lambda: survey(letters, viewer))
    if reason is None and viewer.tenants is None:
        shown, more = [summary(letter) for letter in first[:SHOWN]], len(first) > SHOWN
    elif known is None:
        return JsonResponse({"pending": True}, 202)
    else:
        shown = known.letters(reason)
        more = known.count(reason) > len(shown)
    running: list[Progress] = state.acts
    return JsonResponse(
        {
            "deadLetters": shown[:SHOWN],
            "more": more,
            "depth": state.collector.latest.dead_letter_depth if viewer.tenants is None else None,
            "running": [each for each in running if viewer.tenants is None or each.who == viewer.name],
            "reasons": known and [{"reason": each.reason, "count": each.count} for each in known.reasons],
            "lookedAt": known and known.looked_at,
            "isAll": known and known.is_all,
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
        choice = untrusted_json.decode_unambiguous(await request.body(), _choice)
    except UnreadableJsonError as error:
        raise RefusedError(400, f"Name the dead letters as sequenceNumbers, by a reason, or say all: {error}") from None
    if not choice.is_clear:
        raise RefusedError(400, "Name the dead letters as sequenceNumbers, by a reason, or say all: one of them only.")
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
        surveys: SlowAnswers[Survey] = request.app.state.surveys
        await surveys.forget_all()
    return JsonResponse({"done": done})


async def _nothing() -> int:
    return 0


async def _permitted(letters: DeadLetters, viewer: Viewer, choice: Choice) -> list[int] | None:
    """The chosen dead letters that the viewer may act on; None for all there are.

    Raises:
        RefusedError: one of those that are named belongs to somebody else.
    """
    if choice.reason is not None:
        return [letter.sequence_number for letter in await _visible(letters, viewer, reason=choice.reason)]
    if viewer.tenants is None:
        return choice.sequence_numbers
    own = {letter.sequence_number for letter in await _visible(letters, viewer)}
    if choice.sequence_numbers is None:
        return sorted(own)
    if not own.issuperset(choice.sequence_numbers):
        raise RefusedError(403, "Not all of these dead letters are of a tenant that this access token is for.")
    return choice.sequence_numbers


async def _visible(letters: DeadLetters, viewer: Viewer, *, reason: str | None = None) -> list[DeadLetter]:
    """The first dead letters that the viewer may see and act on together, of one reason if it is given."""
    found: list[DeadLetter] = []
    after = 0
    while len(found) < ACTED_ON:
        page = await letters.list(after=after, limit=LISTED_AT_ONCE)
        if not page:
            break
        found += [each for each in page if reason in {None, each.reason} and is_visible(each, viewer)]
        after = page[-1].sequence_number
    return found[:ACTED_ON]


routes = [
    Route("/api/dead-letters", show_all, methods=["GET"]),
    Route("/api/dead-letters/replay", replay, methods=["POST"]),
    Route("/api/dead-letters/discard", discard, methods=["POST"]),
    Route("/api/dead-letters/{sequence_number:int}", show, methods=["GET"]),
]
