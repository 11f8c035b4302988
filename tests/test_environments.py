"""What ``make run`` and ``make test`` say while they make their environments; the interpreter here is a stand-in."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = 45

STAND_IN = f"""#!/bin/sh
case "$*" in
--version) echo Python 3.11.2 ;;
"-m venv "*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
*--require-hashes*)
	for number in $(seq {PACKAGES}); do echo "Collecting package$number"; done
	echo "Installing collected packages: all" ;;
esac
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A clone with a lock of so many packages, and an interpreter that installs nothing."""
    (tmp_path / "requirements").mkdir()
    script = tmp_path / "requirements" / "install.sh"
    script.write_bytes((ROOT / "requirements" / "install.sh").read_bytes())
    interpreter = tmp_path / "python"
    interpreter.write_text(STAND_IN)
    for program in (script, interpreter):
        program.chmod(0o755)
    lock = "".join(f"package{number}==1.0 \\\n    --hash=sha256:00\n" for number in range(1, PACKAGES + 1))
    (tmp_path / "lock").write_text(lock)
    return tmp_path


def test_an_environment_is_made_with_word_of_what_is_done_and_how_far_it_is(checkout: Path) -> None:
    done = subprocess.run(
        [checkout / "requirements" / "install.sh", ".venv", "lock"],
        env=os.environ | {"PYTHON": str(checkout / "python")},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    first, *between, last = [line.strip() for line in done.stderr.splitlines()]
    assert first.startswith(f"Making the environment .venv of {PACKAGES} packages with Python 3.11.2.")
    assert between == [
        f"package 20 of {PACKAGES}",
        f"package 40 of {PACKAGES}",
        "all are here, unpacking them",
        "building cloudscale itself",
    ]
    assert re.fullmatch(r"Environment \.venv is ready: .+", last)


def test_the_tests_say_how_they_run_before_they_do() -> None:
    done = subprocess.run(
        ["make", "--dry-run", "--assume-old=.venv-dev/.installed", "test"],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    commands = [line for line in done.stdout.splitlines() if line.startswith(("echo", ".venv-dev/bin/pytest"))]
    assert [line.split()[0] for line in commands] == ["echo", ".venv-dev/bin/pytest"] * 2
