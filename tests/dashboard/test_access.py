from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from cloudscale.dashboard.access import LARGEST_FILE_BYTES, TokenFile, Viewer, digest_of, read_access
from cloudscale.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

TOKEN = "0123456789abcdef-one"
OTHER = "0123456789abcdef-two"


def written(directory: Path, text: str) -> Path:
    path = directory / "tokens.yaml"
    path.write_text(text)
    return path


def test_without_a_file_nobody_needs_a_token() -> None:
    assert not read_access(None).required


def test_a_token_says_who_somebody_is_and_what_they_may(tmp_path: Path) -> None:
    known = read_access(written(tmp_path, f"- {{token: {TOKEN}, name: ann, act: true}}"))

    assert known.required
    assert known.viewer_of_token(TOKEN) == Viewer("ann", None, may_act=True)
    assert known.viewer_of_token(TOKEN + "x") is None
    assert known.viewer_of_token("") is None


def test_a_token_may_be_bound_to_tenants(tmp_path: Path) -> None:
    known = read_access(written(tmp_path, f"- {{token: {TOKEN}, name: ann, tenants: [contoso]}}"))

    viewer = known.viewer_of_token(TOKEN)
    assert viewer is not None
    assert viewer.sees("contoso")
    assert not viewer.sees("fabrikam")
    assert not viewer.sees(None)
    assert not viewer.may_act


def test_a_file_with_nothing_but_a_token_is_the_owner_s(tmp_path: Path) -> None:
    viewer = read_access(written(tmp_path, TOKEN + "\n")).viewer_of_token(TOKEN)

    assert viewer is not None
    assert viewer.may_act
    assert viewer.tenants is None


@pytest.mark.parametrize(
    "text",
    [
        "- {token: short, name: ann}",
        f"- {{token: {TOKEN}}}",
        f"- {{token: {TOKEN}, name: ann, tenants: []}}",
        f"- {{token: {TOKEN}, name: ann, admin: true}}",
        f"- {{token: {TOKEN}, name: ann}}\n- {{token: {TOKEN}, name: bob}}",
        "[]",
        "",
        "a: [",
        "[" * 1000,
        "tooshort",
    ],
)
def test_a_file_that_cannot_be_used_is_refused_without_quoting_it(text: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="token file") as refusal:
        read_access(written(tmp_path, text))

    assert TOKEN not in str(refusal.value)


def test_a_file_of_any_size_is_not_read(tmp_path: Path) -> None:
    path = written(tmp_path, f"- {{token: {TOKEN}, name: ann}}\n")
    os.truncate(path, LARGEST_FILE_BYTES + 1)

    with pytest.raises(ConfigurationError, match="more than 262,144 bytes"):
        read_access(path)


def test_a_missing_file_is_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_access(tmp_path / "absent")


def test_a_token_is_found_by_its_digest_until_it_is_withdrawn(tmp_path: Path) -> None:
    path = written(tmp_path, f"- {{token: {TOKEN}, name: ann}}")
    digest = digest_of(TOKEN)

    assert TOKEN not in digest
    assert read_access(path).viewer_of_digest(digest) == Viewer("ann")
    written(tmp_path, f"- {{token: {OTHER}, name: ann}}")
    assert read_access(path).viewer_of_digest(digest) is None


def test_changed_tokens_hold_without_a_restart(tmp_path: Path) -> None:
    path = written(tmp_path, f"- {{token: {TOKEN}, name: ann}}")
    tokens = TokenFile(path, check_seconds=0)
    assert tokens.current().viewer_of_token(TOKEN) is not None

    written(tmp_path, f"- {{token: {OTHER}, name: bob}}")
    os.utime(path, (1, 1))

    assert tokens.current().viewer_of_token(TOKEN) is None
    assert tokens.current().viewer_of_token(OTHER) is not None


def test_a_changed_file_that_cannot_be_used_leaves_the_former_tokens(tmp_path: Path) -> None:
    path = written(tmp_path, f"- {{token: {TOKEN}, name: ann}}")
    tokens = TokenFile(path, check_seconds=0)

    written(tmp_path, "a: [")
    os.utime(path, (1, 1))
    assert tokens.current().viewer_of_token(TOKEN) is not None

    path.unlink()
    assert tokens.current().viewer_of_token(TOKEN) is not None
