"""The description and the service agree, as schemathesis sees them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from docs.generator.http_api import described
from tests.servers.coverage import unmeasured_environment

from cloudscale.events.cloudevents import BATCH, STRUCTURED

if TYPE_CHECKING:
    from tests.servers.ingestion import IngestionServer


@pytest.fixture(scope="module")
def paths() -> dict[str, Any]:
    paths: dict[str, Any] = described()["paths"]
    return paths


def test_the_headers_of_a_cloud_event_are_described(paths: dict[str, Any]) -> None:
    parameters = {each["name"]: each for each in paths["/api/v1/events"]["post"]["parameters"]}

    assert {"ce-specversion", "ce-type", "ce-id", "ce-source", "ce-time", "ce-subject"} <= {*parameters}
    assert "com.cloudscale." in parameters["ce-type"]["description"]
    assert "page_view" in parameters["ce-type"]["schema"]["pattern"]
    assert all(each["description"] for each in parameters.values())


def test_each_content_type_of_cloud_events_is_described(paths: dict[str, Any]) -> None:
    single, batch = (
        paths[path]["post"]["requestBody"]["content"] for path in ("/api/v1/events", "/api/v1/events/batch")
    )
    envelope = described()["components"]["schemas"]["CloudEvent"]

    assert single[STRUCTURED]["schema"] == {"$ref": "#/components/schemas/CloudEvent"}
    assert batch[BATCH]["schema"]["items"] == {"$ref": "#/components/schemas/CloudEvent"}
    assert "com.cloudscale.page_view" in envelope["properties"]["type"]["enum"]


def test_the_description_says_of_503_what_the_guarantees_say(paths: dict[str, Any]) -> None:
    for path in ("/api/v1/events", "/api/v1/events/batch"):
        assert "says nothing about the event" in paths[path]["post"]["responses"]["503"]["description"]


def test_the_description_tells_the_prefix_of_types() -> None:
    assert "com.cloudscale." in described()["info"]["description"]


CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


@pytest.mark.timeout(600)
def test_generated_requests_get_the_described_answers(server: IngestionServer, tmp_path: Path) -> None:
    program = Path(sys.executable).with_name("schemathesis")
    command = [str(program), "run", f"{server.url}/openapi.json", "--checks", CHECKS, "--max-examples", "25"]

    run = subprocess.run(
        [*command, "--phases", "examples,coverage,fuzzing", "--seed", "1"],
        cwd=tmp_path,
        env=unmeasured_environment(),
        capture_output=True,
        text=True,
        timeout=560,
        check=False,
    )

    assert run.returncode == 0, run.stdout[-4000:] + run.stderr[-2000:]
