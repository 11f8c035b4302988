from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cloudscale.local.run import dashboard_link

if TYPE_CHECKING:
    from pathlib import Path

URL = "http://127.0.0.1:8081"


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    path = tmp_path / "dashboard-token"
    path.write_text("cs-0123456789abcdef\n")
    return path


def test_in_a_terminal_the_dashboards_link_signs_in(token_file: Path) -> None:
    assert dashboard_link(URL, token_file, private=True) == f"{URL}/sign-in#token=cs-0123456789abcdef"


def test_a_log_that_is_kept_has_no_token(token_file: Path) -> None:
    assert dashboard_link(URL, token_file, private=False) == f"{URL} (the token to sign in is in {token_file})"


def test_a_file_with_a_list_of_tokens_is_named(token_file: Path) -> None:
    token_file.write_text("- {token: cs-0123456789abcdef, name: ada}\n- {token: cs-fedcba9876543210, name: bob}\n")

    assert dashboard_link(URL, token_file, private=True) == f"{URL} (the token to sign in is in {token_file})"
