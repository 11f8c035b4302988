"""The text of API keys."""

from __future__ import annotations

import re
from string import printable

from hypothesis import given
from hypothesis import strategies as st

from cloudscale.access import api_key


def test_a_key_is_read_back_as_it_was_made() -> None:
    key = api_key.generate()

    assert api_key.parse(key.text) == key


def test_every_key_is_another_one() -> None:
    keys = [api_key.generate() for _ in range(1000)]

    assert len({key.id for key in keys}) == len({key.secret for key in keys}) == 1000


def test_a_scanner_recognises_a_key_by_its_form() -> None:
    assert re.fullmatch(r"cs_[0-9A-Za-z]{12}_[0-9A-Za-z]{49}", api_key.generate().text)


@given(place=st.integers(0, 64), character=st.sampled_from(printable))
def test_a_key_with_another_character_anywhere_is_none(place: int, character: str) -> None:
    text = api_key.generate().text
    changed = text[:place] + character + text[place + 1 :]

    assert changed == text or api_key.parse(changed) is None


@given(before=st.text(), after=st.text(alphabet=" .,\"'}\n"), cut=st.integers(1, 49))
def test_a_text_is_rid_of_secrets_and_of_what_is_left_of_them(before: str, after: str, cut: int) -> None:
    key = api_key.generate()
    cleaned = api_key.without_secrets(f"{before}cs_{key.id}_{key.secret[:cut]}{after}")

    assert cleaned.endswith(f"cs_{key.id}_…{after}")
    assert key.secret[: max(cut, 8)] not in cleaned


@given(st.text())
def test_any_other_text_is_no_key(text: str) -> None:
    assert api_key.parse(text) is None


def test_a_key_with_a_line_feed_behind_it_is_none() -> None:
    assert api_key.parse(api_key.generate().text + "\n") is None


def test_only_the_secret_of_the_digest_is_accepted() -> None:
    key, other = api_key.generate(), api_key.generate()

    assert api_key.is_secret_of(key.secret, api_key.digest_of(key.secret))
    assert not api_key.is_secret_of(other.secret, api_key.digest_of(key.secret))


def test_the_secret_is_not_in_what_is_printed_of_a_key() -> None:
    key = api_key.generate()

    assert key.secret not in f"{key} {key!r}"
