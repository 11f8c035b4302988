from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bench import benthos_program

if TYPE_CHECKING:
    from pathlib import Path


def test_the_version_is_the_one_that_is_required() -> None:
    assert f"{benthos_program.MODULE} {benthos_program.version()}" in (benthos_program.SOURCE / "go.mod").read_text()
    assert benthos_program.version().startswith("v4.")


def test_without_go_the_error_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benthos_program, "PROGRAMS", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(SystemExit, match="apt-get install golang"):
        benthos_program.program()


def test_a_program_that_is_there_is_not_compiled_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benthos_program, "PROGRAMS", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SystemExit):
        benthos_program.program()
    expected = tmp_path / f"benthos-{benthos_program.fingerprint()}"
    expected.touch()

    assert benthos_program.program() == expected
