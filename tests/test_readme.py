"""Everything that README tells to type is typed here, against a pipeline that was started as README says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.servers.background import BackgroundRun

from cloudscale.examples import Kind, find

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
COMMANDS = [
    command
    for language, block in BLOCKS
    if language == "sh"
    for command in block.replace("\\\n", "").strip().splitlines()
]
pytestmark = pytest.mark.timeout(240)

RUN = "cloudscale run --example clickstream"
TYPED = [command for command in COMMANDS if command != RUN and not command.startswith("make ")]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BackgroundRun]:
    """What ``cloudscale run --example clickstream`` starts, on free ports."""
    assert RUN in COMMANDS
    data = tmp_path_factory.mktemp("readme") / "data"
    with BackgroundRun(pipeline_file=find("clickstream", kind=Kind.PIPELINE), data_directory=data) as running:
        yield running


def test_the_commands_work_in_the_order_they_are_told(run: BackgroundRun) -> None:
    # A new user's PATH does not have the environment that the tests run in: README has to say how it gets there.
    folders = [folder for folder in os.environ["PATH"].split(":") if not (Path(folder) / "cloudscale").exists()]
    environment = {**os.environ, "PATH": ":".join(folders), "CLOUDSCALE_DATA_DIR": str(run.data_directory)}
    assert len(TYPED) >= 10
    outputs: dict[str, list[str]] = {}
    activated = ""
    for told in TYPED:
        # README's environment is the one that runs pipelines; here it is the one that runs the tests.
        command = told.replace(".venv", sys.prefix)
        activated = f"{command}\n" if command.endswith("/bin/activate") else activated
        typed = activated + command.replace("http://127.0.0.1:8080", run.record.ingestion_url)
        result = subprocess.run(
            ("bash", "-c", typed), capture_output=True, text=True, check=False, timeout=90, cwd=ROOT, env=environment
        )
        assert result.returncode == 0, f"{command}\n{result.stdout}\n{result.stderr}"
        outputs.setdefault(command, []).append(result.stdout)

    (first_event,) = (shown for command, shown in outputs.items() if command.startswith("curl"))
    assert first_event[0].startswith("HTTP/1.1 202 Accepted")
    first, second = outputs["cloudscale events replay --example purchases-sample"]
    assert "500 accepted, 0 duplicates" in first
    assert "0 accepted, 500 duplicates" in second
    assert "zero lost" in outputs["cloudscale verify --wait 60s"][0]


def test_no_block_starts_a_pipeline_and_something_after_it() -> None:
    """The pipeline runs until it is stopped: who pastes the block would never see the rest."""
    blocks = [block.replace("\\\n", "").strip().splitlines() for _language, block in BLOCKS]
    starts = [block for block in blocks if any("make run" in line or RUN in line for line in block)]
    assert len(starts) == 4
    assert all("make run" not in line and RUN not in line for block in starts for line in block[:-1])
    assert all(RUN in block[-1] or block[-1] == "make run" for block in starts)
    assert all("make test" not in block for block in starts)


def test_what_runs_a_pipeline_has_no_tools_of_development() -> None:
    recipe = (ROOT / "Makefile").read_text()
    assert re.search(r"^RUNTIME := \.venv$", recipe, re.MULTILINE)
    assert re.search(r"^run: install  ##", recipe, re.MULTILINE)
    assert "install.sh $(RUNTIME) requirements/runtime.lock requirements/build.lock\n" in recipe
    assert re.search(r"^test: install-dev  ##", recipe, re.MULTILINE)
    assert not re.search(r"^(pytest|mypy|ruff)\b", (ROOT / "requirements/runtime.lock").read_text(), re.MULTILINE)


def test_a_fresh_machine_gets_what_the_commands_need() -> None:
    (packages,) = re.findall(r"apt-get install --no-install-recommends (.+)", TEXT)
    tools = {command.split()[0] for command in COMMANDS} - {".", "cloudscale"}
    assert tools | {"python3-venv"} == set(packages.split())


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\bmake ([a-z0-9-]+)", TEXT))))
def test_what_can_be_made_is_in_the_makefile(target: str) -> None:
    makefile = (ROOT / "Makefile").read_text()

    assert re.search(rf"^{target}:.*##", makefile, re.MULTILINE)


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(([^)#]+)\)", TEXT))))
def test_what_is_linked_is_there(link: str) -> None:
    assert link.startswith("https://") or (ROOT / link).exists()
