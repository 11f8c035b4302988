from __future__ import annotations

from typing import Any

import pytest

from cloudscale.dashboard.access import Viewer
from cloudscale.dashboard.records import tenants_asked, top_clients
from cloudscale.dashboard.responses import RefusedError

EVERYBODY = Viewer("ann")
CONTOSO = Viewer("bob", frozenset({"contoso", "adatum"}))


def test_top_clients_are_those_with_the_most_events() -> None:
    documents: list[dict[str, Any]] = [
        {"clientAddress": "10.0.0.1", "tenantId": "contoso", "suspicious": True},
        {"clientAddress": "10.0.0.2", "tenantId": "contoso"},
        {"clientAddress": "10.0.0.1", "tenantId": "fabrikam", "suspicious": False},
    ]

    [first, second] = top_clients(documents)

    assert first == {"clientAddress": "10.0.0.1", "events": 2, "suspicious": 1, "tenants": ["contoso", "fabrikam"]}
    assert second["clientAddress"] == "10.0.0.2"


def test_everybody_is_asked_for_at_once_when_the_viewer_sees_all() -> None:
    assert tenants_asked(EVERYBODY, None) == [None]
    assert tenants_asked(EVERYBODY, "contoso") == ["contoso"]


def test_a_viewer_of_some_tenants_asks_for_each_of_them() -> None:
    assert tenants_asked(CONTOSO, None) == ["adatum", "contoso"]


def test_a_viewer_cannot_ask_for_another_tenant() -> None:
    with pytest.raises(RefusedError, match="fabrikam"):
        tenants_asked(CONTOSO, "fabrikam")
