"""The script of web pages as it is served."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from cloudscale.ingestion.cross_origin import CrossOrigin
from cloudscale.ingestion.page_script import PageScript, shorten

if TYPE_CHECKING:
    from pathlib import Path

SERVED = PageScript(CrossOrigin([])).content


def test_it_has_2048_bytes_at_the_most_and_is_the_same_each_time() -> None:
    assert len(SERVED) <= 2048
    assert PageScript(CrossOrigin([])).content == SERVED


def test_comments_white_space_and_long_names_are_left_out() -> None:
    source = """
    // What is this?
    const $one = (  $two  ) => {
      // Another one.
      let $three = $two + 1;
      return $three;
    };
    say("a , b - c", $one);
    """
    assert shorten(source) == 'const a=(b)=>{let c=b+1;return c};say("a , b - c",a);\n'


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed here")
def test_it_is_a_program(tmp_path: Path) -> None:
    (tmp_path / "cloudscale.js").write_bytes(SERVED)
    result = subprocess.run(
        ("node", "--check", str(tmp_path / "cloudscale.js")), capture_output=True, text=True, check=False
    )

    assert (result.returncode, result.stderr) == (0, "")
