"""Dead letters are summed up by their reason, as many as are looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from cloudscale.dashboard.access import Viewer
from cloudscale.dashboard.dead_letter_survey import (
    LETTERS_AT_ONCE,
    LETTERS_KEPT,
    LETTERS_LOOKED_AT,
    OTHER_REASONS,
    REASONS,
    survey,
)
from cloudscale.queue.dead_letters import DeadLetter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cloudscale.queue.dead_letters import DeadLetters

EVERYBODY = Viewer("owner")


class Known:
    """Dead letters that are known beforehand, looked at as the broker's are."""

    def __init__(self, letters: Sequence[DeadLetter]) -> None:
        self._letters = letters

    async def list(self, *, after: int = 0, limit: int = 100) -> list[DeadLetter]:
        assert limit <= LETTERS_AT_ONCE
        return [*self._letters[after : after + limit]]


def letters_of(*reasons: str, tenant: str = "contoso") -> DeadLetters:
    """A dead letter for each reason."""
    made = [
        DeadLetter(
            sequence_number=number,
            reason=reason,
            description="",
            attempts=1,
            enqueued_at=None,
            body=[{"tenantId": tenant if number % 2 else "fabrikam"}],
        )
        for number, reason in enumerate(reasons, start=1)
    ]
    return cast("DeadLetters", Known(made))


async def test_all_dead_letters_are_counted_and_the_first_of_each_reason_kept() -> None:
    found = await survey(letters_of(*["often"] * 600, *["seldom"] * 3), EVERYBODY)

    assert [(each.reason, each.count) for each in found.reasons] == [("often", 600), ("seldom", 3)]
    assert [len(found.letters(reason)) for reason in ("often", "seldom", "never")] == [LETTERS_KEPT, 3, 0]
    assert (found.looked_at, found.is_all) == (603, True)
    assert (found.count(None), found.count("seldom")) == (603, 3)


async def test_looking_ends_at_its_bound_and_says_so() -> None:
    found = await survey(letters_of(*["often"] * (LETTERS_LOOKED_AT + 1)), EVERYBODY)

    assert (found.looked_at, found.is_all) == (LETTERS_LOOKED_AT, False)


async def test_as_many_as_the_bound_are_all() -> None:
    assert (await survey(letters_of(*["often"] * LETTERS_LOOKED_AT), EVERYBODY)).is_all


async def test_only_the_viewer_s_own_dead_letters_are_counted() -> None:
    found = await survey(letters_of(*["often"] * 500), Viewer("ann", frozenset({"contoso"})))

    assert found.count("often") == 250
    assert {letter["tenantId"] for letter in found.letters(None)} == {"contoso"}


async def test_reasons_beyond_the_bound_are_counted_together() -> None:
    found = await survey(letters_of(*(f"reason {number}" for number in range(REASONS + 5))), EVERYBODY)

    assert len(found.reasons) == REASONS + 1
    assert found.count(OTHER_REASONS) == 5
