"""The scripts that the release workflow calls; the tools that would publish write their command lines down instead."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from tests.absent_tools import needs

from cloudscale import __version__

ROOT = Path(__file__).parents[2]
DIGEST = f"sha256:{'ab' * 32}"


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """A folder for stand-ins of tools."""
    folder = tmp_path / "tools"
    folder.mkdir()
    return folder


def stub(tools: Path, name: str, script: str = "") -> None:
    """A tool that writes its command line to ``calls`` and then runs a script."""
    path = tools / name
    path.write_text(f'#!/bin/sh\necho "{name} $*" >> {tools}/calls\n{script}\n')
    path.chmod(0o755)


def run(tools: Path, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a script with the stand-ins before all other tools."""
    return subprocess.run(
        [ROOT / "release" / script, *arguments],
        env=os.environ | {"PATH": f"{tools}:{os.environ['PATH']}"},
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


BUILDX = f"""
while [ "$1" != --metadata-file ]; do shift; done
printf '{{\\n  "buildx.build.ref": "x/y",\\n  "containerimage.digest": "{DIGEST}"\\n}}\\n' > "$2"
"""


def test_the_image_is_pushed_for_both_architectures_with_all_that_tells_where_it_is_from(
    tools: Path, tmp_path: Path
) -> None:
    stub(tools, "docker", BUILDX)
    done = run(tools, "image.sh", "registry.example/cloudscale", "1.2.3", str(tmp_path / "digest"))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "digest").read_text() == f"{DIGEST}\n"
    told = (tools / "calls").read_text()
    for option in (
        "--platform linux/amd64,linux/arm64",
        "--target runtime",
        "--sbom=true --provenance=mode=max",
        "--tag registry.example/cloudscale:1.2.3",
        "--label org.opencontainers.image.version=1.2.3",
        "--push",
    ):
        assert option in told


def test_an_image_without_a_digest_is_not_signed(tools: Path, tmp_path: Path) -> None:
    stub(tools, "docker")
    done = run(tools, "image.sh", "registry.example/cloudscale", "1.2.3", str(tmp_path / "digest"))
    assert done.returncode == 1
    assert "names no digest" in done.stderr
    assert not (tmp_path / "digest").exists()


@needs("helm")
def test_a_packed_chart_runs_the_published_image_of_its_version(tools: Path, tmp_path: Path) -> None:
    done = run(tools, "charts.sh", str(tmp_path / "packages"), "cloudscale", "cloudscale-backends")
    assert done.returncode == 0, done.stderr
    packages = sorted((tmp_path / "packages").iterdir())
    assert [path.name for path in packages] == [
        f"{chart}-{__version__}.tgz" for chart in ("cloudscale", "cloudscale-backends")
    ]
    for package in packages:
        rendered = subprocess.run(
            ["helm", "template", "x", str(package), "--kube-version", "1.34.0"],
            env=os.environ | {"KUBECONFIG": os.devnull}, capture_output=True, text=True, check=True, timeout=60,
        ).stdout  # fmt: skip
        assert f"image: ghcr.io/cloudscale/cloudscale:{__version__}\n" in rendered


def test_a_chart_with_dependencies_has_them_fetched_first(tools: Path, tmp_path: Path) -> None:
    stub(tools, "helm")
    assert run(tools, "charts.sh", str(tmp_path), "cloudscale", "cloudscale-keda").returncode == 0
    assert (tools / "calls").read_text().splitlines() == [
        f"helm package cloudscale --destination {tmp_path}",
        "helm dependency build cloudscale-keda",
        f"helm package cloudscale-keda --destination {tmp_path}",
    ]


def test_what_was_pushed_is_signed_by_its_digest(tools: Path, tmp_path: Path) -> None:
    for name in ("cloudscale-1.2.3.tgz", "cloudscale-backends-1.2.3.tgz"):
        (tmp_path / name).touch()
    # helm says where it pushed to on the standard error output.
    says = f'echo "Pushed: r.example/charts/$(basename "$2" -1.2.3.tgz):1.2.3" >&2; echo "Digest: {DIGEST}" >&2'
    stub(tools, "helm", says)
    stub(tools, "cosign")
    done = run(tools, "push-charts.sh", "r.example/charts", str(tmp_path))
    assert done.returncode == 0, done.stderr
    signed = [line for line in (tools / "calls").read_text().splitlines() if line.startswith("cosign")]
    assert sorted(signed) == [
        f"cosign sign --yes r.example/charts/cloudscale-backends@{DIGEST}",
        f"cosign sign --yes r.example/charts/cloudscale@{DIGEST}",
    ]


@pytest.mark.parametrize(("script", "complaint"), [("echo no access >&2; exit 1", "no access"), ("", "does not say")])
def test_a_chart_that_was_not_pushed_is_not_signed(tools: Path, tmp_path: Path, script: str, complaint: str) -> None:
    (tmp_path / "cloudscale-1.2.3.tgz").touch()
    stub(tools, "helm", script)
    stub(tools, "cosign")
    done = run(tools, "push-charts.sh", "r.example/charts", str(tmp_path))
    assert done.returncode == 1
    assert complaint in done.stderr
    assert "cosign" not in (tools / "calls").read_text()
