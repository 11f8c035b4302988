"""Looks through many dead letters and sums them up by their reason, within bounds of time, number and memory."""

from __future__ import annotations

import asyncio
from itertools import chain
from typing import TYPE_CHECKING, Any

import msgspec

from cloudscale.dashboard.dead_letter_views import is_visible, summary

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cloudscale.dashboard.access import Viewer
    from cloudscale.queue.dead_letters import DeadLetter, DeadLetters

LETTERS_LOOKED_AT = 10_000
SECONDS = 20.0
LETTERS_AT_ONCE = 250
"""As many as the broker shows at once."""

LETTERS_KEPT = 200
"""Of each reason."""

REASONS = 50
OTHER_REASONS = "(other reasons)"


class Reason(msgspec.Struct, kw_only=True):
    """The dead letters of one reason: how many there are, and summaries of the first of them."""

    reason: str
    count: int = 0
    letters: list[dict[str, Any]] = []


class Survey(msgspec.Struct, frozen=True, kw_only=True):
    """What was found among the first ``looked_at`` dead letters; ``is_all`` says that there are no others."""

    reasons: list[Reason]
    """The most frequent one first."""
    looked_at: int
    is_all: bool

    def letters(self, reason: str | None) -> list[dict[str, Any]]:
        """Summaries of the first dead letters of a reason, or of all reasons, in their order."""
        found = chain.from_iterable(each.letters for each in self.reasons if reason in {None, each.reason})
        return sorted(found, key=lambda letter: int(letter["sequenceNumber"]))

    def count(self, reason: str | None) -> int:
        """How many dead letters a reason has, or all reasons."""
        return sum(each.count for each in self.reasons if reason in {None, each.reason})


async def survey(letters: DeadLetters, viewer: Viewer) -> Survey:
    """Look through the dead letters and sum up those that the viewer may see.

    Raises:
        BackendUnavailableError, CredentialError: the broker cannot be asked.
    """
    sums = _Sums(viewer)
    ends_at = asyncio.get_running_loop().time() + SECONDS
    after = 0
    while sums.looked_at < LETTERS_LOOKED_AT and asyncio.get_running_loop().time() < ends_at:
        page = await letters.list(after=after, limit=LETTERS_AT_ONCE)
        if not page:
            return sums.survey(is_all=True)
        sums.take(page)
        after = page[-1].sequence_number
    return sums.survey(is_all=not await letters.list(after=after, limit=1))


def survey_of(letters: Sequence[DeadLetter], viewer: Viewer) -> Survey:
    """The same of dead letters that are all there are."""
    sums = _Sums(viewer)
    sums.take(letters)
    return sums.survey(is_all=True)


class _Sums:
    """Sums up the letters that a viewer may see while they come."""

    def __init__(self, viewer: Viewer) -> None:
        self.looked_at = 0
        self._viewer = viewer
        self._reasons: dict[str, Reason] = {}

    def take(self, letters: Sequence[DeadLetter]) -> None:
        self.looked_at += len(letters)
        for letter in letters:
            if is_visible(letter, self._viewer):
                reason = self._of(letter.reason)
                reason.count += 1
                if reason.count <= LETTERS_KEPT:
                    reason.letters.append(summary(letter))

    def _of(self, name: str) -> Reason:
        if name not in self._reasons and len(self._reasons) >= REASONS:
            name = OTHER_REASONS
        return self._reasons.setdefault(name, Reason(reason=name))

    def survey(self, *, is_all: bool) -> Survey:
        reasons = sorted(self._reasons.values(), key=lambda each: (-each.count, each.reason))
        return Survey(reasons=reasons, looked_at=self.looked_at, is_all=is_all)
