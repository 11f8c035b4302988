from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudscale.dashboard.records import rank_asked, rank_text, top_clients
from cloudscale.dashboard.responses import RefusedError
from cloudscale.store.ranking import Rank


def test_top_clients_are_those_with_the_most_events() -> None:
    documents: list[dict[str, Any]] = [
        {"clientAddress": "10.0.0.1", "tenantId": "contoso", "suspicious": True},
        {"clientAddress": "10.0.0.2", "tenantId": "contoso"},
        {"clientAddress": "10.0.0.1", "tenantId": "fabrikam", "suspicious": False},
    ]

    [first, second] = top_clients(documents)

    assert first == {"clientAddress": "10.0.0.1", "events": 2, "suspicious": 1, "tenants": ["contoso", "fabrikam"]}
    assert second["clientAddress"] == "10.0.0.2"


NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)


@given(st.builds(Rank, st.integers(-(10**18) + 1, 10**18 - 1), NAMES, NAMES))
def test_a_rank_is_read_as_it_was_written(rank: Rank) -> None:
    assert rank_asked(rank_text(rank)) == rank


@pytest.mark.parametrize("text", ["1", "1:a", "1:a:b:c", ":a:b", "--1:a:b", "1.5:a:b", "\u00b2:a:b", f"{10**18}:a:b"])
def test_what_is_no_rank_is_refused(text: str) -> None:
    with pytest.raises(RefusedError, match="no rank"):
        rank_asked(text)
