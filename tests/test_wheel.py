"""What is published needs no clone: the wheel, with what it asks for, runs a pipeline and takes an event."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import venv
import zipfile
from datetime import timedelta
from importlib.metadata import Distribution, distribution, distributions
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from tests.servers.coverage import unmeasured_environment
from tests.waiting import wait_until_sync

from cloudscale import __version__, examples
from cloudscale.local.directory import read_record
from cloudscale.local.plan import LOOPBACK
from cloudscale.local.ports import find_free_ports

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
READY = timedelta(seconds=90)
EVENT = {"eventType": "page_view", "tenantId": "shop", "userId": "ada", "url": "https://shop.example/shoes"}

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, made as ``make wheel`` makes it."""
    folder = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(build, cwd=ROOT, env=unmeasured_environment(), check=True, capture_output=True, timeout=100)
    (made,) = folder.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with ``cloudscale[apps]`` and nothing else: no tools of development, no sources of this clone.

    No index is asked. The wheel is installed as any other; the distributions that it asks for, which the tests'
    environment holds in their locked versions, are linked into it file by file.
    """
    folder = tmp_path_factory.mktemp("empty") / "environment"
    venv.create(folder, symlinks=True)
    pip = [sys.executable, "-m", "pip", "--isolated", "--python", str(folder / "bin" / "python"), "install"]
    done = subprocess.run(
        [*pip, "--no-index", "--no-deps", "--quiet", str(wheel)],
        env=unmeasured_environment(), capture_output=True, text=True, check=False, timeout=100,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (packages,) = folder.glob("lib/python3*/site-packages")
    (installed,) = distributions(name="cloudscale", path=[str(packages)])
    for each in closure(installed, "apps"):
        link(each, packages)
    return folder


def closure(root: Distribution, extra: str) -> list[Distribution]:
    """Every distribution that one asks for with an extra, and those that these ask for."""
    found: dict[str, Distribution] = {}
    seen: set[tuple[str, str]] = set()
    waiting = [(root, ""), (root, extra)]
    while waiting:
        asker, asked_extra = waiting.pop()
        for requirement in map(Requirement, asker.requires or []):
            if requirement.marker and not requirement.marker.evaluate({"extra": asked_extra}):
                continue
            name = canonicalize_name(requirement.name)
            found[name] = distribution(name)
            for wanted in ("", *requirement.extras):
                if (name, wanted) not in seen:
                    seen.add((name, wanted))
                    waiting.append((found[name], wanted))
    return list(found.values())


def link(installed: Distribution, packages: Path) -> None:
    """Put a distribution's files into another environment's packages."""
    for file in installed.files or []:
        source = Path(str(file.locate()))
        # What is compiled may have been removed; what is left fits, and saves each process the compiling.
        if ".." in file.parts or not source.exists():
            continue
        target = packages / file
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(source.resolve())


def command(environment: Path, *arguments: str) -> list[str]:
    """The console script of the environment."""
    return [str(environment / "bin" / "cloudscale"), *arguments]


def clean_environment() -> dict[str, str]:
    """Nothing that leads to the clone or to another pipeline."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CLOUDSCALE_", "PYTHON"))}
    return kept | {"CLOUDSCALE_NICENESS": "0"}


@pytest.fixture(scope="module")
def folder(environment: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An empty folder in which ``cloudscale run --example clickstream`` was typed and is stopped afterwards."""
    folder = tmp_path_factory.mktemp("anywhere")
    port, dashboard_port = map(str, find_free_ports(LOOPBACK, 2))
    with (folder / "output").open("wb") as output:
        run = subprocess.Popen(
            command(environment, "run", "--example", "clickstream", "--port", port, "--dashboard-port", dashboard_port),
            cwd=folder, env=clean_environment(), stdin=subprocess.DEVNULL, stdout=output, stderr=output,
        )  # fmt: skip
    try:

        def is_ready() -> bool:
            assert run.poll() is None, (folder / "output").read_text()
            return (folder / ".cloudscale" / "run.json").exists()

        wait_until_sync(is_ready, within=READY)
        yield folder
        run.send_signal(signal.SIGINT)
        assert run.wait(60) == 0, (folder / "output").read_text()
    finally:
        run.kill()
        run.wait(60)


def test_the_first_event_is_accepted_and_stored(environment: Path, folder: Path) -> None:
    address = read_record(folder / ".cloudscale").ingestion_url.removeprefix("http://")
    connection = http.client.HTTPConnection(address, timeout=30)
    connection.request("POST", "/api/events", json.dumps(EVENT), {"Content-Type": "application/json"})
    answer = connection.getresponse()
    assert answer.status == http.client.ACCEPTED, answer.read()
    connection.close()

    verified = subprocess.run(
        command(environment, "verify", "--wait", "30s"),
        cwd=folder, env=clean_environment(), capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert verified.returncode == 0, verified.stdout + verified.stderr
    assert re.search(r"\bshop +\S+ +1 +1 +0 ", verified.stdout), verified.stdout


def test_events_of_an_example_are_sent_without_a_clone(environment: Path, folder: Path) -> None:
    sent = subprocess.run(
        command(environment, "events", "send", "--example", "events"),
        cwd=folder, env=clean_environment(), capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert sent.returncode == 0, sent.stdout + sent.stderr


def test_what_runs_is_the_wheel(environment: Path, tmp_path: Path) -> None:
    shown = subprocess.run(
        [environment / "bin" / "python", "-c", "import cloudscale; print(cloudscale.__file__, cloudscale.__version__)"],
        cwd=tmp_path, env=clean_environment(), capture_output=True, text=True, check=True, timeout=60,
    ).stdout.split()  # fmt: skip
    assert Path(shown[0]).is_relative_to(environment)
    assert shown[1] == __version__


def test_the_wheel_has_the_version_and_every_file_that_is_not_python(wheel: Path) -> None:
    assert wheel.name == f"cloudscale-{__version__}-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as archive:
        packed = set(archive.namelist())
        metadata = archive.read(f"cloudscale-{__version__}.dist-info/METADATA").decode()
    assert f"\nVersion: {__version__}\n" in metadata
    sources = {"cloudscale": ROOT / "apps", "cloudscale_operator": ROOT / "operator"}
    for package, source in sources.items():
        for path in (source / package).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                assert str(path.relative_to(source)) in packed
    for kind in examples.Kind:
        assert {f"cloudscale/examples/{name}{kind.value}" for name in examples.names(kind)} <= packed


def test_nothing_but_the_two_packages_is_published(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        top = {name.split("/")[0] for name in archive.namelist()}
    assert top == {"cloudscale", "cloudscale_operator", f"cloudscale-{__version__}.dist-info"}
