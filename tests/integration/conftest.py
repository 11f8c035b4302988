"""One whole pipeline, started by ``cloudscale run`` with the resource's defaults, for all tests that break nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.servers.background import BackgroundRun

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BackgroundRun]:
    """A pipeline made from the example of the README."""
    directory = tmp_path_factory.mktemp("pipeline") / "data"
    with BackgroundRun(pipeline_file=ROOT / "examples" / "clickstream.yaml", data_directory=directory) as run:
        yield run


@pytest.fixture(scope="session")
def command() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run ``cloudscale`` with some arguments as a user would."""

    def run(*arguments: str, stdin: str = "", seconds: float = 90) -> subprocess.CompletedProcess[str]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("CLOUDSCALE_")}
        return subprocess.run(
            (sys.executable, "-m", "cloudscale.commands.cli", *arguments),
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds,
            env=environment,
            cwd=ROOT,
        )

    return run
