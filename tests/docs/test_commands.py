"""Every command block of the documentation is typed here, or, where it needs a cluster or Azure, read word by word."""

from __future__ import annotations

import base64
import os
import re
import shutil
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml
from docs.generator.command_line import commands
from docs.generator.configuration import CHARTS, chart_values
from tests.docs.blocks import (
    CHECKED,
    DOCS,
    ROOT,
    RUN,
    Block,
    all_blocks,
    blocks_of,
    cloudscale_words,
    commands_of,
    files_named,
    heredocs_of,
    pages,
)
from tests.servers.background import BackgroundRun

from cloudscale.access import given_keys
from cloudscale.examples import Kind, find
from cloudscale.pipeline import load

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.timeout(700)

LANGUAGES = {RUN, CHECKED, "yaml", "json", "text", "{literalinclude}", "{toctree}", "{image}"}
DEFAULT_EXAMPLE = "clickstream"
STARTED_ELSEWHERE = re.compile(r"^(make |cloudscale run )")
"""What the pages tell to start; it runs until it is stopped, so a fixture starts it."""

COMMANDS = {command.words: command for command in commands()}
SHELL = all_blocks(RUN, CHECKED)
TYPED = [page for page in pages() if page != ROOT / "README.md" and any(b.language == RUN for b in blocks_of(page))]


def name_of(value: object) -> str:
    """A test's name: the page, and the start of the block."""
    if isinstance(value, Block):
        return f"{value.page}:{value.text.splitlines()[0][:40]}"
    return value.relative_to(ROOT).as_posix() if isinstance(value, Path) else str(value)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], BackgroundRun]]:
    """Gives the run of an example, which starts when it is first asked for."""
    runs: dict[str, BackgroundRun] = {}
    with ExitStack() as exits, pytest.MonkeyPatch.context() as patch:
        # What the page about outlets tells to export.
        patch.setenv("CLOUDSCALE_OUTLET_SECRET_CRM", f"whsec_{base64.b64encode(bytes(32)).decode()}")

        def run_of(example: str) -> BackgroundRun:
            if example not in runs:
                data, file = tmp_path_factory.mktemp("docs") / "data", find(example, kind=Kind.PIPELINE)
                runs[example] = exits.enter_context(BackgroundRun(pipeline_file=file, data_directory=data))
            return runs[example]

        yield run_of


@pytest.mark.parametrize("page", TYPED, ids=name_of)
def test_what_a_page_tells_to_type_works_in_its_order(page: Path, running: Callable[[str], BackgroundRun]) -> None:
    typed = "".join(block.text for block in blocks_of(page) if block.language == RUN)
    needed = {command[0] for command in commands_of(typed)} & {"node", "go", "jq"}
    missing = sorted(tool for tool in needed if shutil.which(tool) is None)
    if missing:
        pytest.skip(f"{page.name} is not typed: {', '.join(missing)} is not installed here")
    run = running(next(iter(re.findall(r"^cloudscale run --example (\S+)", typed, re.MULTILINE)), DEFAULT_EXAMPLE))

    lines = [line for line in typed.splitlines() if not STARTED_ELSEWHERE.match(line)]
    script = "\n".join(lines).replace(".venv/", f"{sys.prefix}/")
    script = script.replace("http://127.0.0.1:8080", run.record.ingestion_url)
    script = script.replace("http://127.0.0.1:8081", run.record.dashboard_url or "")
    environment = {**os.environ, "CLOUDSCALE_DATA_DIR": str(run.data_directory)}
    environment["PATH"] = f"{sys.prefix}/bin:{environment['PATH']}"
    result = subprocess.run(
        ("bash", "-euo", "pipefail", "-c", script),
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
        cwd=ROOT,
        env=environment,
    )

    assert result.returncode == 0, f"{script}\n{result.stdout}\n{result.stderr}"


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_each_block_says_what_it_is(page: Path) -> None:
    assert {block.language for block in blocks_of(page)} <= LANGUAGES


@pytest.mark.parametrize("block", SHELL, ids=name_of)
def test_a_shell_accepts_each_block(block: Block) -> None:
    result = subprocess.run(("bash", "-n"), input=block.text, capture_output=True, text=True, check=False)

    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize("block", SHELL, ids=name_of)
def test_files_that_a_block_names_are_there(block: Block) -> None:
    named = [file for command in commands_of(block.text) for file in files_named(command)]

    assert [file for file in named if not (ROOT / file).exists()] == []


@pytest.mark.parametrize("block", SHELL, ids=name_of)
def test_commands_and_options_of_cloudscale_exist(block: Block) -> None:
    for command in commands_of(block.text):
        words = cloudscale_words(command)
        if words is None or words == ["--help"]:
            continue
        found = next((COMMANDS[tuple(words[:n])] for n in (2, 1) if tuple(words[:n]) in COMMANDS), None)
        assert found is not None, command
        known = {name for parameter in found.parameters for name in parameter.names} | {"--help"}
        assert [word for word in words if word.startswith("--") and word.partition("=")[0] not in known] == []


@pytest.mark.parametrize("block", SHELL, ids=name_of)
def test_what_is_made_is_in_the_makefile(block: Block) -> None:
    makefile = (ROOT / "Makefile").read_text()
    made = [command[1] for command in commands_of(block.text) if command[0] == "make" and len(command) > 1]

    assert [
        t for t in made if re.fullmatch(r"[a-z0-9-]+", t) and not re.search(rf"^{t}:.*##", makefile, re.MULTILINE)
    ] == []


@pytest.mark.parametrize("block", SHELL, ids=name_of)
def test_values_given_to_a_chart_of_ours_exist(block: Block) -> None:
    for command in commands_of(block.text):
        chart = next((Path(word).name for word in command if word.startswith("charts/")), None)
        if command[0] != "helm" or chart not in CHARTS:
            continue
        known = {path for path, _, _ in chart_values(chart)}
        given = [command[place + 1] for place, word in enumerate(command) if word == "--set"]
        names = [part.partition("=")[0] for text in given for part in re.sub(r"\{[^}]*\}", "", text).split(",")]
        folders = {path[: path.rfind(".")] for path in known if "." in path}
        assert set(names) <= known | folders


@pytest.mark.parametrize("block", SHELL, ids=name_of)
def test_manifests_in_a_block_are_valid(block: Block) -> None:
    for text in heredocs_of(block.text):
        _check(text)


@pytest.mark.parametrize("block", [b for b in all_blocks("yaml") if b.page.startswith("docs/")], ids=name_of)
def test_yaml_is_valid(block: Block) -> None:
    _check(block.text)


def _check(text: str) -> None:
    """Load what is a pipeline or a part of one, or a list of keys; anything else must be YAML at least."""
    for document in yaml.safe_load_all(text):
        if isinstance(document, list):
            assert given_keys.read(yaml.safe_dump(document).encode()).problems == ()
        elif set(document) == {"spec"} or document.get("kind") == "EventPipeline":
            head = {"apiVersion": "cloudscale.io/v1alpha1", "kind": "EventPipeline", "metadata": {"name": "docs"}}
            assert load({**head, **document}).metadata.name


def test_the_pages_have_commands() -> None:
    """A pattern that found nothing would let everything pass."""
    assert len(SHELL) > 20
    assert (DOCS / "kubernetes.md") in pages()
