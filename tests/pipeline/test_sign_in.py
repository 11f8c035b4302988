"""How people sign in: what the resource takes, and how it says what is wrong."""

from __future__ import annotations

from typing import Any

import pytest

from cloudscale.errors import InvalidPipelineError
from cloudscale.pipeline import EventPipeline, load

RIGHT: dict[str, Any] = {
    "issuer": "https://login.example.com/",
    "clientId": "dashboard",
    "origin": "https://dashboard.example.com",
    "roles": [{"value": "operators", "role": "operator"}],
}


def loaded(**changed: object) -> EventPipeline:
    spec = {name: value for name, value in (RIGHT | changed).items() if value is not None}
    return load(
        {
            "apiVersion": "cloudscale.io/v1alpha1",
            "kind": "EventPipeline",
            "metadata": {"name": "people"},
            "spec": {"dashboard": {"signIn": spec}},
        }
    )


def test_little_has_to_be_said() -> None:
    sign_in = loaded().spec.dashboard.sign_in

    assert sign_in is not None
    assert sign_in.roles_claim == "groups"
    assert sign_in.scopes == ("profile", "email", "offline_access")
    assert sign_in.client_secret_ref is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("issuer", "http://localhost:5556/dex"),
        ("issuer", "http://127.0.0.1:8080"),
        ("issuer", "https://login.microsoftonline.com/5d9e6f3a-0000-0000-0000-000000000000/v2.0"),
        ("origin", "http://localhost:8081"),
        ("scopes", []),
        ("rolesClaim", "https://example.com/roles"),
        ("roles", [{"value": "a group with spaces", "role": "admin", "tenants": ["contoso"]}]),
        ("roles", [{"value": "customers", "role": "viewer", "tenantsClaim": "tenant"}]),
    ],
)
def test_what_is_right_is_taken(name: str, value: object) -> None:
    assert loaded(**{name: value}).spec.dashboard.sign_in is not None


@pytest.mark.parametrize(
    ("name", "value", "path"),
    [
        ("issuer", None, "signIn"),
        ("issuer", "http://login.example.com", "signIn.issuer"),
        ("issuer", "http://localhost.evil.example", "signIn.issuer"),
        ("issuer", "http://localhost:80@evil.example/", "signIn.issuer"),
        ("issuer", "https://user:word@login.example.com", "signIn.issuer"),
        ("issuer", "https://login.example.com?x=1", "signIn.issuer"),
        ("issuer", "javascript:alert(1)", "signIn.issuer"),
        ("origin", "https://dashboard.example.com/", "signIn.origin"),
        ("origin", "https://Dashboard.example.com", "signIn.origin"),
        ("origin", "http://dashboard.example.com", "signIn.origin"),
        ("clientId", "", "signIn.clientId"),
        ("scopes", ["two words"], "signIn.scopes"),
        ("roles", [], "signIn.roles"),
        ("roles", [{"value": "x", "role": "root"}], "signIn.roles"),
        ("roles", [{"value": "", "role": "viewer"}], "signIn.roles"),
        ("roles", [{"value": "x", "role": "viewer", "tenants": []}], "signIn.roles"),
        ("roles", [{"value": "x", "role": "viewer", "tenants": ["a"], "tenantsClaim": "b"}], "signIn.roles"),
        ("clientSecret", "in the open", "signIn"),
    ],
)
def test_what_is_wrong_is_refused_at_its_path(name: str, value: object, path: str) -> None:
    with pytest.raises(InvalidPipelineError) as refusal:
        loaded(**{name: value})

    assert all(problem.startswith(f"spec.dashboard.{path}") for problem in refusal.value.problems)
