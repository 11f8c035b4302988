"""Which hosts a pipeline may name to be reached with a token."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tests.operator.examples import CLIENT_ID, SPECS, pipeline
from tests.operator.harness import KEY, Harness

from cloudscale_operator.hosts import AZURE_HOSTS, is_allowed, is_pattern, refusal

if TYPE_CHECKING:
    from tests.operator.api_server import ApiServer

IDENTITY = {"identity": {"clientId": CLIENT_ID}}


def made(server: ApiServer) -> list[str]:
    """What the operator has made for the pipeline."""
    return [path for path in server.objects if "/example-" in path]


@pytest.mark.parametrize(
    "spec",
    [
        {"queue": {"namespace": "attacker.example"}},
        {"queue": {"namespace": "servicebus.windows.net.attacker.example"}},
        {"queue": {"namespace": "attackerservicebus.windows.net"}},
        {"store": {"endpoint": "https://attacker.example:443/"}},
        {"store": {"endpoint": "https://x.documents.azure.com@attacker.example/"}},
        {"store": {"endpoint": "https://attacker.example?x.documents.azure.com"}},
        {"store": {"endpoint": "https://attacker.example#.documents.azure.com"}},
        {"store": {"endpoint": "https://attacker.example\\.documents.azure.com"}},
        {"store": {"endpoint": "http://x.documents.azure.com/"}},
    ],
)
async def test_a_pipeline_that_names_another_host_is_refused_and_nothing_is_contacted(
    harness: Harness, spec: dict[str, Any]
) -> None:
    harness.server.add_pipeline(spec=spec | IDENTITY)
    await harness.visit()
    assert harness.condition("Ready")["reason"] == "HostNotAllowed"
    assert harness.status["phase"] == "Failed"
    assert "to which no token may go" in harness.condition("Ready")["message"]
    assert harness.readers.latest(KEY) is None
    assert harness.readers.is_idle
    assert not [path for _, path in harness.server.requests if "/secrets/" in path or path.endswith("/token")]
    assert not made(harness.server)


async def test_a_pipeline_that_comes_to_name_another_host_is_read_no_more(harness: Harness) -> None:
    harness.server.add_pipeline(spec={})
    await harness.visit_with_depth()
    body = harness.server.pipeline()
    assert body is not None
    body["spec"] = {"queue": {"namespace": "attacker.example"}, **IDENTITY}
    await harness.visit()
    assert harness.condition("Ready")["reason"] == "HostNotAllowed"
    assert harness.readers.is_idle


def test_azures_own_hosts_are_allowed() -> None:
    assert refusal(pipeline(SPECS["workload-identity"]), AZURE_HOSTS) == ""


def test_the_configuration_allows_others() -> None:
    spec = SPECS["private-cloud"]
    assert "example.servicebus.example.org" in refusal(pipeline(spec), AZURE_HOSTS)
    assert refusal(pipeline(spec), ["example.servicebus.example.org"]) == ""
    assert "none" in refusal(pipeline(spec), [])


def test_a_connection_string_brings_its_own_key_and_may_name_any_host() -> None:
    assert refusal(pipeline({}), []) == ""


@pytest.mark.parametrize(
    ("host", "allowed"),
    [("a.example.org", True), ("A.EXAMPLE.org", True), ("example.org", False), ("aexample.org", False)],
)
def test_a_suffix_holds_for_what_is_below_it(host: str, *, allowed: bool) -> None:
    assert is_allowed(host, [".example.org"]) is allowed


@pytest.mark.parametrize("text", ["", ".", "*.example.org", "EXAMPLE.org", "a..b", "a.example.org\n", "https://x"])
def test_what_is_no_host_is_no_pattern(text: str) -> None:
    assert not is_pattern(text)
