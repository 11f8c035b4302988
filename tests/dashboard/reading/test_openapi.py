"""The description of the reading API and its answers agree, as schemathesis sees them."""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.store.creating import create_all
from tests.store.test_creation_order import created

from cloudscale.dashboard.reading.openapi import describe
from cloudscale.dashboard.reading.questions import PARAMETERS
from cloudscale.store.profiles import Profile, ProfileStore, partition_of, profile_id

if TYPE_CHECKING:
    import aiohttp

    from cloudscale.store.events import EventStore

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


def test_every_parameter_is_described() -> None:
    described = describe("clickstream")["paths"]["/api/v1/events"]["get"]["parameters"]

    assert {each["name"] for each in described} == {*PARAMETERS}
    assert all(each["description"] for each in described)


async def test_the_description_is_open_to_read(client: aiohttp.ClientSession) -> None:
    async with client.get("/openapi.json") as response:
        content = await response.json()

    assert content["openapi"] == "3.1.0"
    assert content["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("key", "paths", "phases", "examples"),
    [
        ("contoso-key", "/api/v1/(events|users)", "examples,coverage,fuzzing", 20),
        ("admin-key", "/api/v1/(tenants|keys)", "fuzzing", 5),
    ],
)
async def test_generated_requests_get_the_described_answers(
    client: aiohttp.ClientSession,
    store: EventStore,
    tmp_path: Path,
    *,
    key: str,
    paths: str,
    phases: str,
    examples: int,
) -> None:
    now = datetime.now(UTC)
    await create_all(
        store,
        [
            created(f"e{number}", now - timedelta(days=number), tenant="contoso", eventId=f"e{number}")
            for number in range(5)
        ],
    )
    profile = Profile(
        id=profile_id("ada"), partition_key=partition_of("contoso", "ada"), tenant_id="contoso", user_id="ada"
    )
    assert await ProfileStore(store).write([profile])
    async with client.get("/openapi.json") as response:
        url = str(response.url)
    program = Path(sys.executable).with_name("schemathesis")
    run = await asyncio.create_subprocess_exec(
        str(program),
        *("run", url),
        *("--checks", CHECKS, "--max-examples", str(examples), "--phases", phases, "--seed", "1"),
        *("--include-path-regex", paths),
        *("--header", f"Authorization: Bearer {key}"),
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )

    output, _ = await run.communicate()

    assert run.returncode == 0, output.decode()[-4000:]
