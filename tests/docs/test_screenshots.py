from __future__ import annotations

import pytest
from tests.browser.screenshots import PICTURES
from tests.docs.blocks import ROOT

NAMES = [name for name, *_ in PICTURES]


def test_each_picture_is_taken_once_and_there_are_no_others() -> None:
    assert sorted(NAMES) == sorted(path.stem for path in (ROOT / "docs" / "screenshots").iterdir())


@pytest.mark.parametrize("name", ["overview", "refused", "access", "devices"])
def test_pages_that_the_docs_speak_of_are_shown_there(name: str) -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    assert any(f"screenshots/{name}.png" in path.read_text() for path in pages)
