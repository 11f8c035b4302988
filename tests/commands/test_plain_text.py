"""Texts of others on a terminal."""

from __future__ import annotations

import pytest

from cloudscale.commands.plain_text import plain


@pytest.mark.parametrize("text", ["web", "Kasse 7, Köln", "商店", "🛒"])
def test_what_can_be_read_stays(text: str) -> None:
    assert plain(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [("\u202ebew", "\\u202ebew"), ("a\x9b2J", "a\\x9b2J"), ("\u200b", "\\u200b"), ("a\u2028b", "a\\u2028b")],
)
def test_what_acts_on_a_terminal_is_escaped(text: str, shown: str) -> None:
    assert plain(text) == shown
