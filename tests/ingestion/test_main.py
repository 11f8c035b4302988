"""What keeps ingestion from starting is said in one line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "clickstream.yaml"


def run_with(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cloudscale.ingestion"],
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({}, "CLOUDSCALE_PIPELINE_FILE"),
        (
            {"CLOUDSCALE_PIPELINE_FILE": "/nowhere.yaml", "CLOUDSCALE_REDIS_URL": "redis://127.0.0.1:1/0"},
            "/nowhere.yaml",
        ),
        ({"CLOUDSCALE_PIPELINE_FILE": str(EXAMPLE), "CLOUDSCALE_REDIS_URL": "127.0.0.1:1"}, "the Redis URL"),
    ],
)
def test_what_is_wrong_with_the_settings_is_said(environment: dict[str, str], said: str) -> None:
    result = run_with(environment)
    assert result.returncode == 2
    assert result.stderr.startswith("ingestion cannot start: ")
    assert said in result.stderr
    assert "Traceback" not in result.stderr
