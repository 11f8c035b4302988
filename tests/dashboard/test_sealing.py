from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cloudscale.dashboard.sealing import seal, unseal

SECRET = b"s" * 32


@given(st.binary(max_size=300))
def test_what_was_sealed_is_read_with_the_same_secret_and_purpose_only(content: bytes) -> None:
    sealed = seal(content, secret=SECRET, purpose="one")

    assert unseal(sealed, secret=SECRET, purpose="one") == content
    assert unseal(sealed, secret=SECRET, purpose="other") is None
    assert unseal(sealed, secret=b"t" * 32, purpose="one") is None
    assert seal(content, secret=SECRET, purpose="one") != sealed


@given(st.text(max_size=100))
def test_any_other_text_is_nothing(text: str) -> None:
    assert unseal(text, secret=SECRET, purpose="one") is None


@given(st.binary(min_size=1, max_size=60), st.data())
def test_a_changed_character_spoils_it(content: bytes, data: st.DataObject) -> None:
    sealed = seal(content, secret=SECRET, purpose="one")
    place = data.draw(st.integers(0, len(sealed.rstrip("=")) - 2))
    changed = sealed[:place] + ("A" if sealed[place] != "A" else "B") + sealed[place + 1 :]

    assert unseal(changed, secret=SECRET, purpose="one") is None
