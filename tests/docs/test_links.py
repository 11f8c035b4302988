"""Every link of the documentation leads somewhere: to a file, a heading, a name in the code."""

from __future__ import annotations

import pytest
from docs.generator.pages import PAGES
from tests.docs.blocks import DOCS, ROOT
from tests.docs.links import Link, anchors_of, content_of, links, symbols_of

LINKS = sorted(set(links()))


def name_of(link: Link) -> str:
    """A test's name: from where to where."""
    return f"{link.page.relative_to(ROOT)}:{link.text[:30]}:{link.target}#{link.anchor}"


@pytest.mark.parametrize("link", LINKS, ids=name_of)
def test_what_is_linked_is_there(link: Link) -> None:
    assert link.file.is_relative_to(ROOT)
    assert link.file.exists() or content_of(link.file) is not None


REFERENCE = DOCS / "reference.md"


@pytest.mark.parametrize("link", [link for link in LINKS if link.page != REFERENCE], ids=name_of)
def test_what_is_linked_is_there_in_a_clone_in_which_no_page_was_made(link: Link) -> None:
    assert (DOCS / "reference") not in (link.file, *link.file.parents)


def test_the_page_that_links_what_is_made_says_how_to_make_it() -> None:
    assert {link.file.name for link in LINKS if link.page == REFERENCE and link.file.parent.name == "reference"} == {
        *PAGES
    }
    text = REFERENCE.read_text()
    assert text.index("`make docs`") < text.index("](reference/")


@pytest.mark.parametrize("link", [link for link in LINKS if link.anchor and link.file.suffix == ".md"], ids=name_of)
def test_a_linked_heading_is_on_its_page(link: Link) -> None:
    assert link.anchor in anchors_of(content_of(link.file) or "")


@pytest.mark.parametrize("link", [link for link in LINKS if link.symbol], ids=name_of)
def test_a_linked_name_is_defined_where_the_link_leads(link: Link) -> None:
    assert link.symbol in symbols_of(link.file)
