"""Whatever is written can be read, and nothing else."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudscale.dashboard.reading.opaque_text import read_opaque, write_opaque


@given(st.binary(min_size=1, max_size=100))
def test_what_was_written_is_read_and_needs_no_escapes(content: bytes) -> None:
    text = write_opaque(content)

    assert re.fullmatch(r"[A-Za-z0-9_-]+", text)
    assert read_opaque(text, most_characters=len(text)) == content


@pytest.mark.parametrize("text", ["", "YQ==", "a b", "YQ\n", "é", "A" * 11])
def test_another_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="opaque text"):
        read_opaque(text, most_characters=10)
