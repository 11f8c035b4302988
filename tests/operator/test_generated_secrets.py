"""The Secrets that the operator makes: a first key, and a token for a dashboard that would be open otherwise."""

from __future__ import annotations

import base64
import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.operator.examples import pipeline
from tests.operator.harness import Harness, add_secret, deleted

from cloudscale.access import api_key
from cloudscale.access.given_keys import read
from cloudscale.access.scopes import Scope
from cloudscale_operator.generated_secrets import AGE_SECONDS, wanted_secrets
from cloudscale_operator.timing import Timing

if TYPE_CHECKING:
    from cloudscale_operator.kinds import Manifest

ROOT = Path(__file__).parents[2]
NOW = datetime(2026, 11, 28, 19, 0, tzinfo=UTC)
SECRETS = "/api/v1/namespaces/shop/secrets"
FIRST_KEY = f"{SECRETS}/example-access"
TOKEN = f"{SECRETS}/example-dashboard"


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


CLOCK = Clock()


def names(spec: dict[str, Any]) -> list[str]:
    return [secret["metadata"]["name"] for secret in wanted_secrets(pipeline(spec), now=NOW)]


def content(secret: Manifest) -> dict[str, str]:
    return {name: base64.b64decode(value).decode() for name, value in secret["data"].items()}


def test_the_first_key_is_an_administrators_and_its_file_holds_no_secret() -> None:
    (secret,) = wanted_secrets(pipeline({"access": {"mode": "Required"}, "dashboard": {"enabled": False}}), now=NOW)
    held = content(secret)
    key = api_key.parse(held["key"])
    assert key is not None
    given = read(held["keys.json"].encode())
    assert given.problems == ()
    assert given.keys[key.id].scopes == frozenset({Scope.ADMIN})
    assert given.keys[key.id].created_at == NOW
    assert api_key.is_secret_of(key.secret, given.keys[key.id].digest)
    assert key.secret not in held["keys.json"]


def test_a_secret_goes_with_its_pipeline() -> None:
    for secret in wanted_secrets(pipeline({"access": {"mode": "Required"}}), now=NOW):
        (owner,) = secret["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["name"], owner["uid"]) == ("EventPipeline", "example", "uid-1")
        assert secret["metadata"]["labels"]["cloudscale.io/pipeline"] == "example"


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"access": {"mode": "Required"}}, ["example-access", "example-dashboard"]),
        ({"access": {"mode": "Open"}}, ["example-dashboard"]),
        ({"access": {"mode": "Open"}, "dashboard": {"enabled": False}}, []),
        ({"access": {"mode": "Open"}, "dashboard": {"tokenSecretRef": {"name": "mine", "key": "token"}}}, []),
        (
            {
                "access": {"mode": "Open"},
                "dashboard": {
                    "signIn": {
                        "issuer": "https://login.example.com",
                        "clientId": "dashboard",
                        "origin": "https://dashboard.example.com",
                        "roles": [{"value": "operators", "role": "operator"}],
                    }
                },
            },
            [],
        ),
    ],
)
def test_only_what_the_resource_lacks_is_made(spec: dict[str, Any], expected: list[str]) -> None:
    assert names(spec) == expected


@pytest.mark.parametrize("page", ["charts/cloudscale/templates/NOTES.txt", "docs/how-to/access.md"])
def test_what_a_page_tells_to_read_is_in_them(page: str) -> None:
    text = (ROOT / page).read_text()
    for secret in wanted_secrets(pipeline({"access": {"mode": "Required"}}), now=NOW):
        name = secret["metadata"]["name"].replace("example", "NAME")
        told = re.findall(rf"kubectl get secret {name} -o jsonpath='{{\.data\.(\w+)}}' \| base64 -d", text)
        assert told
        assert set(told) <= secret["data"].keys()


async def test_they_are_made_once_and_the_events_say_how_they_are_read(harness: Harness) -> None:
    harness.server.add_pipeline(spec={})
    await harness.visit()
    first = (harness.server.objects[FIRST_KEY], harness.server.objects[TOKEN])
    assert content(first[1])["token"].startswith("cs-")
    await harness.visit()
    assert (harness.server.objects[FIRST_KEY], harness.server.objects[TOKEN]) == first
    said = [item["message"] for item in harness.server.objects.values() if item.get("reason") == "SecretCreated"]
    assert len(said) == 2
    assert "kubectl get secret example-access -o jsonpath='{.data.key}' | base64 -d" in said[0]
    assert "kubectl get secret example-dashboard -o jsonpath='{.data.token}' | base64 -d" in said[1]
    key = content(first[0])["key"]
    assert not any(key in message for message in said)


@pytest.mark.parametrize("timing", [Timing(monotonic=CLOCK)])
async def test_one_that_is_deleted_is_made_anew(harness: Harness) -> None:
    harness.server.add_pipeline(spec={})
    await harness.visit()
    first = content(harness.server.remove(FIRST_KEY))
    CLOCK.seconds += AGE_SECONDS
    await harness.visit()
    second = content(harness.server.objects[FIRST_KEY])
    assert second["key"] != first["key"]
    assert json.loads(second["keys.json"])[0]["id"] == second["key"].split("_")[1]


async def test_one_that_somebody_else_wrote_is_left_as_it_is(harness: Harness) -> None:
    add_secret(harness.server, "example-access", **{"keys.json": "[]"})
    add_secret(harness.server, "example-dashboard", token="one of my own, long enough")
    before = (harness.server.objects[FIRST_KEY], harness.server.objects[TOKEN])
    harness.server.add_pipeline(spec={})
    await harness.visit()
    assert (harness.server.objects[FIRST_KEY], harness.server.objects[TOKEN]) == before
    assert "SecretCreated" not in harness.events()
    assert harness.condition("Ready")["reason"] != "NameTaken"


async def test_one_of_that_name_with_something_else_in_it_is_said(harness: Harness) -> None:
    add_secret(harness.server, "example-access", password="mine")
    harness.server.add_pipeline(spec={})
    await harness.visit()
    assert harness.condition("Ready")["reason"] == "NameTaken"
    assert "the Secret example-access is there without key and keys.json" in harness.condition("Ready")["message"]


async def test_one_that_may_not_be_made_is_said_and_the_rest_goes_on(harness: Harness) -> None:
    harness.server.add_pipeline(spec={})
    harness.server.refusals[f"POST {SECRETS}"] = 403
    await harness.visit()
    assert harness.condition("Ready")["reason"] == "ApplyRefused"
    assert "secrets was answered with 403" in harness.condition("Ready")["message"]
    assert "example-ingestion" in harness.server.names("Deployment")
    harness.server.refusals.clear()
    await harness.visit()
    assert FIRST_KEY in harness.server.objects


async def test_one_that_another_operator_makes_at_the_same_time_is_left_as_it_is(harness: Harness) -> None:
    add_secret(harness.server, "example-access", **{"key": "theirs", "keys.json": "[]"})
    harness.server.refusals["GET " + FIRST_KEY] = 404
    harness.server.add_pipeline(spec={})
    await harness.visit()
    assert content(harness.server.objects[FIRST_KEY])["key"] == "theirs"
    assert harness.condition("Ready")["reason"] not in ("ApplyRefused", "NameTaken")


async def test_a_dashboard_that_was_open_is_closed_with_a_warning(harness: Harness) -> None:
    harness.server.add_pipeline(spec={})
    await harness.visit()
    path = "/apis/apps/v1/namespaces/shop/deployments/example-dashboard"
    container = harness.server.objects[path]["spec"]["template"]["spec"]["containers"][0]
    container["env"] = [each for each in container["env"] if each["name"] != "CLOUDSCALE_DASHBOARD_TOKEN_FILE"]
    harness.server.remove(TOKEN)
    successor = Harness(harness.server, harness.reconciler._api, harness.readers)
    await successor.visit()
    assert TOKEN in harness.server.objects
    assert "DashboardClosed" in harness.events()
    names = [each["name"] for each in harness.server.objects[path]["spec"]["template"]["spec"]["containers"][0]["env"]]
    assert "CLOUDSCALE_DASHBOARD_TOKEN_FILE" in names


async def test_none_is_made_for_a_pipeline_that_is_being_deleted(harness: Harness) -> None:
    harness.server.add_pipeline(spec={})
    await harness.visit()
    for path in (FIRST_KEY, TOKEN):
        harness.server.remove(path)
    deleted(harness.server, {})
    await harness.visit()
    assert FIRST_KEY not in harness.server.objects
    assert TOKEN not in harness.server.objects


async def test_those_of_an_earlier_pipeline_of_the_name_are_made_anew_as_soon_as_they_are_gone(
    harness: Harness,
) -> None:
    harness.server.add_pipeline(spec={})
    await harness.visit()
    harness.server.add_pipeline(spec={}, metadata={"uid": "another"})
    await harness.visit()
    # As the garbage collector does, a moment later.
    first = content(harness.server.remove(FIRST_KEY))
    harness.server.remove(TOKEN)
    await harness.visit()
    assert content(harness.server.objects[FIRST_KEY])["key"] != first["key"]
    for path in (FIRST_KEY, TOKEN):
        (owner,) = harness.server.objects[path]["metadata"]["ownerReferences"]
        assert owner["uid"] == "another"
