from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from release.errors import ReleaseError

from release import changelog

ROOT = Path(__file__).parents[2]
TODAY = date(2026, 12, 1)

TEXT = """# Changelog

What changed.

## [Unreleased]

### Added

- Something new.

## [1.1.0] - 2026-10-02

### Fixed

- Something old, see [the guide](docs/guide.md).

## [1.0.0]

## [0.9.0] - 2026-01-01

[Unreleased]: https://example.org/compare/v1.1.0...HEAD
[1.1.0]: https://example.org/compare/v1.0.0...v1.1.0
"""


def test_the_notes_are_the_section_without_its_heading() -> None:
    assert changelog.notes(TEXT, "1.1.0") == "### Fixed\n\n- Something old, see [the guide](docs/guide.md)."


@pytest.mark.parametrize(
    ("version", "complaint"), [("2.0.0", "no section 2.0.0"), ("1.0.0", "no date"), ("0.9.0", "is empty")]
)
def test_a_version_without_notes_is_refused(version: str, complaint: str) -> None:
    with pytest.raises(ReleaseError, match=complaint):
        changelog.notes(TEXT, version)


def test_what_is_unreleased_becomes_a_version_of_the_day() -> None:
    closed = changelog.close(TEXT, "1.2.0", on=TODAY)
    assert "## [Unreleased]\n\n## [1.2.0] - 2026-12-01\n\n### Added\n" in closed
    assert changelog.notes(closed, "1.2.0") == "### Added\n\n- Something new."
    assert changelog.notes(closed, "1.1.0") == changelog.notes(TEXT, "1.1.0")
    assert "[Unreleased]: https://example.org/compare/v1.2.0...HEAD\n" in closed
    assert "[1.2.0]: https://example.org/compare/v1.1.0...v1.2.0\n" in closed


def test_a_version_is_closed_once() -> None:
    with pytest.raises(ReleaseError, match=r"has a section 1\.1\.0 already"):
        changelog.close(TEXT, "1.1.0", on=TODAY)


def test_a_release_that_brings_nothing_is_refused() -> None:
    with pytest.raises(ReleaseError, match=r"nothing under \[Unreleased\]"):
        changelog.close(changelog.close(TEXT, "1.2.0", on=TODAY), "1.3.0", on=TODAY)


def test_a_changelog_without_its_link_is_refused() -> None:
    with pytest.raises(ReleaseError, match="no link of the form"):
        changelog.close(TEXT.replace("[Unreleased]: ", "[Unrelated]: "), "1.2.0", on=TODAY)


def test_the_projects_own_changelog_can_be_closed() -> None:
    text = (ROOT / changelog.FILE).read_text()
    closed = changelog.close(text, "999.0.0", on=TODAY)
    assert changelog.notes(closed, "999.0.0")
    assert changelog.notes(closed, "0.1.0")
