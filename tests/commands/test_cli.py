from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml
from typer.testing import CliRunner

from cloudscale import __version__
from cloudscale.commands.cli import app
from cloudscale.local.ports import find_free_ports

if TYPE_CHECKING:
    from typer.testing import Result

ROOT = Path(__file__).parents[2]


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def command(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """The real command, for what its exit does."""
    return subprocess.run(
        (sys.executable, "-m", "cloudscale.commands.cli", *arguments),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd=cwd,
    )


@pytest.mark.parametrize(
    "name", ["run", "schema", "validate", "events", "verify", "dlq", "depth", "version", "examples"]
)
def test_every_command_explains_itself(name: str) -> None:
    result = invoke(name, "--help")

    assert result.exit_code == 0
    assert "Usage" in result.output


def test_the_version_is_printed_by_a_command_and_an_option() -> None:
    assert invoke("version").output == invoke("--version").output == f"{__version__}\n"


def test_the_schema_is_a_custom_resource_definition() -> None:
    document = yaml.safe_load(invoke("schema").output)

    assert document["kind"] == "CustomResourceDefinition"


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.yaml")), ids=lambda path: path.name)
def test_every_example_is_valid(path: Path) -> None:
    result = invoke("validate", str(path))

    assert result.exit_code == 0, result.output


def test_every_broken_field_of_a_resource_is_named(tmp_path: Path) -> None:
    path = tmp_path / "pipeline.yaml"
    path.write_text(
        "apiVersion: cloudscale.io/v1alpha1\nkind: EventPipeline\nmetadata: {name: shop}\n"
        "spec: {queue: {lockDuration: long}, processing: {replicas: {min: 9, max: 3}}, stroe: {}}\n"
    )

    result = command("validate", str(path), cwd=tmp_path)

    assert result.returncode == 1
    assert f"{path}: spec.queue.lockDuration: 'long' is not a duration" in result.stderr
    assert f"{path}: spec.processing.replicas" in result.stderr
    assert "did you mean store?" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("run", "absent.yaml"), "error: absent.yaml cannot be read"),
        (("verify",), "error: no pipeline runs in"),
        (("depth",), "error: no pipeline runs in"),
        (("dlq", "list"), "error: no pipeline runs in"),
        (("depth", "--data-dir", __file__), f"error: {__file__}/run.json cannot be read (Not a directory)"),
        (("dlq", "replay"), "error: say which dead letters: sequence numbers, or --all"),
        (("dlq", "discard", "1", "--all"), "error: say which dead letters: sequence numbers, or --all"),
        (("events", "send", "absent.jsonl", "--url", "http://127.0.0.1:9"), "error: absent.jsonl cannot be read"),
        (("events", "replay", "absent.jsonl"), "error: no pipeline runs in"),
    ],
)
def test_an_expected_error_is_one_line_and_no_traceback(
    arguments: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    result = command(*arguments, cwd=tmp_path)

    assert result.returncode == 2
    assert result.stderr.startswith(message)
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""


def test_a_redis_url_that_is_none_is_refused_before_anything_starts(tmp_path: Path) -> None:
    path = tmp_path / "pipeline.yaml"
    path.write_text("apiVersion: cloudscale.io/v1alpha1\nkind: EventPipeline\nmetadata: {name: shop}\n")
    port, dashboard_port = map(str, find_free_ports("127.0.0.1", 2))
    ports = ("--port", port, "--dashboard-port", dashboard_port)

    result = command("run", str(path), *ports, "--redis-url", "secret@localhost:6379", cwd=tmp_path)

    assert result.returncode == 2
    assert result.stderr.startswith("error: the Redis URL cannot be used: write redis://")
    assert "secret" not in result.stderr
    assert result.stdout == ""


def test_events_that_cannot_be_sent_name_the_line(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text('{"eventType": "page_view"\n')

    result = command("events", "send", str(path), "--url", "http://127.0.0.1:9", cwd=tmp_path)

    assert result.returncode == 1
    assert "line 1: not an event in JSON" in result.stderr


def test_wrong_options_are_refused_with_the_range() -> None:
    result = invoke("run", "pipeline.yaml", "--port", "70000")

    assert result.exit_code == 2
    assert "65535" in result.output


def test_the_console_script_is_this_program() -> None:
    result = subprocess.run(
        (str(Path(sys.executable).with_name("cloudscale")), "version"), capture_output=True, text=True, check=True
    )

    assert result.stdout == f"{__version__}\n"


def test_a_command_starts_without_what_only_others_need() -> None:
    program = """
import sys
import cloudscale.commands.cli
loaded = {"aiohttp", "azure", "duckdb", "granian", "redis", "starlette"} & set(sys.modules)
assert not loaded, loaded
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_what_a_command_logs_is_no_part_of_its_output_and_has_no_local_variables() -> None:
    program = """
import structlog
from cloudscale.commands import cli

def fail():
    password = "".join(["s3", "cret"])
    try:
        raise ValueError("nothing works")
    except ValueError:
        structlog.get_logger("cloudscale.test").exception("it failed")

cli.app = fail
cli.main()
"""
    result = subprocess.run([sys.executable, "-c", program, "run"], capture_output=True, text=True, check=True)

    assert result.stdout == ""
    assert "it failed" in result.stderr
    assert "ValueError: nothing works" in result.stderr
    assert "s3cret" not in result.stderr
