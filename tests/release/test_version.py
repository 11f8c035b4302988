from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from release.errors import ReleaseError

from release import version

ROOT = Path(__file__).parents[2]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of every file that says the version."""
    for file in {version.SOURCE, *(each.file for each in version.REPETITIONS)}:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / file, tmp_path / file)
    return tmp_path


def test_whatever_repeats_the_version_says_the_same() -> None:
    assert version.disagreements(ROOT) == []


def test_each_chart_says_it_twice_and_one_of_its_dependency_too() -> None:
    charts = {str(path.relative_to(ROOT)) for path in (ROOT / "charts").glob("*/Chart.yaml")}
    said = [each.file for each in version.REPETITIONS]
    assert set(said) == charts
    assert len(said) == 2 * len(charts) + 1


def test_another_version_is_written_everywhere(checkout: Path) -> None:
    version.write(checkout, "12.0.3")
    assert version.current(checkout) == "12.0.3"
    assert version.disagreements(checkout) == []
    # The version of another project's chart in the same file stays.
    assert "version: 2." in (checkout / "charts/cloudscale-keda/Chart.yaml").read_text()


def test_a_forgotten_place_is_named(checkout: Path) -> None:
    chart = checkout / "charts/cloudscale/Chart.yaml"
    own = version.current(checkout)
    chart.write_text(chart.read_text().replace(f"appVersion: {own}", "appVersion: 9.9.9"))
    (said,) = version.disagreements(checkout)
    assert said.startswith("charts/cloudscale/Chart.yaml says 9.9.9 where apps/cloudscale/__init__.py says ")


def test_a_place_that_was_lost_is_named(checkout: Path) -> None:
    chart = checkout / "charts/cloudscale/Chart.yaml"
    chart.write_text(chart.read_text().replace("appVersion", "applicationVersion"))
    with pytest.raises(ReleaseError, match=r"charts/cloudscale/Chart\.yaml has 0 lines"):
        version.disagreements(checkout)


@pytest.mark.parametrize("number", ["1", "1.2", "1.2.3.4", "v1.2.3", "1.2.3rc1", "1.2.3-rc.1", "01.2.3", "1.2.3\n", ""])
def test_a_version_that_packages_and_charts_do_not_both_take_is_refused(checkout: Path, number: str) -> None:
    before = version.current(checkout)
    with pytest.raises(ReleaseError, match=r"not of the form 1\.2\.3"):
        version.write(checkout, number)
    assert version.current(checkout) == before


def test_a_tag_names_a_version() -> None:
    assert version.parse_tag("v1.20.3") == "1.20.3"


@pytest.mark.parametrize("tag", ["1.2.3", "v1.2", "vv1.2.3", "v1.2.3-dirty", "main"])
def test_another_tag_is_refused(tag: str) -> None:
    with pytest.raises(ReleaseError, match=r"is not of the form v1\.2\.3"):
        version.parse_tag(tag)
