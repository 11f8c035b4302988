"""LIKE against a search that tries everything."""

from __future__ import annotations

import time

from hypothesis import given
from hypothesis import strategies as st

from cloudscale.emulators.cosmos.query.patterns import like


def _matches(pattern: str, text: str) -> bool:
    if not pattern:
        return not text
    if pattern[0] == "%":
        return any(_matches(pattern[1:], text[place:]) for place in range(len(text) + 1))
    return bool(text) and pattern[0] in ("_", text[0]) and _matches(pattern[1:], text[1:])


@given(st.text("ab%_\n", max_size=6), st.text("ab\n", max_size=6))
def test_a_pattern_matches_as_trying_every_way_does(pattern: str, text: str) -> None:
    assert like(pattern, None)(text) is _matches(pattern, text)


def test_sets_and_escapes_stand_for_one_character() -> None:
    assert like("[a-c]_!%", "!")("b-%")
    assert not like("[^a-c]_!%", "!")("b-%")
    assert like("[]]%", None)("]x")
    assert like("a[[]b", None)("a[b")


def test_many_wildcards_take_no_longer_than_the_lengths_product() -> None:
    started = time.monotonic()
    assert not like("%a" * 200 + "%b", None)("a" * 20_000)
    assert time.monotonic() - started < 2
