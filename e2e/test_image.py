"""The image alone is a pipeline on one machine: no clone, no cluster."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import uuid
from typing import TYPE_CHECKING

import pytest
from e2e.cluster import IMAGE, ROOT, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

PORT = 8080
EVENT = {"eventType": "page_view", "tenantId": "shop", "userId": "ada", "url": "https://shop.example/shoes"}
RUN = ("cloudscale", "run", "--example", "clickstream", "--host", "0.0.0.0", "--open", "--data-dir", "/data")  # noqa: S104


def docker(*arguments: str, timeout: float = 120) -> str:
    """Run docker; its output.

    Raises:
        AssertionError: the command failed; the message is what it wrote.
    """
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False, timeout=timeout)
    assert done.returncode == 0, f"docker {' '.join(arguments)}\n{done.stdout}\n{done.stderr}"
    return done.stdout.strip()


@pytest.fixture(scope="module")
def image() -> str:
    """The image, built from this clone."""
    environment = os.environ | {"CLOUDSCALE_IMAGE": IMAGE}
    for script in ("kind/tools.sh", "kind/image.sh"):
        subprocess.run([script], cwd=ROOT, env=environment, check=True, timeout=1200)
    return IMAGE


@pytest.fixture
def volume() -> Iterator[str]:
    """A new volume, removed with all that is in it."""
    name = docker("volume", "create", f"cloudscale-e2e-{uuid.uuid4().hex[:8]}")
    yield name
    docker("volume", "rm", "--force", name)


@pytest.fixture
def container(image: str, volume: str) -> Iterator[str]:
    """A container that runs the example, once it is ready."""
    name = start(image, volume)
    yield name
    docker("rm", "--force", name)


def start(image: str, volume: str) -> str:
    """Start the example and wait until it takes events; the container's name."""
    name = f"cloudscale-e2e-{uuid.uuid4().hex[:8]}"
    published = ("--publish", f"127.0.0.1::{PORT}", "--volume", f"{volume}:/data")
    docker("run", "--detach", "--name", name, *published, image, *RUN)
    wait_until("the container takes events", lambda: ask(name, "GET", "/ready") == http.client.OK, seconds=120)
    return name


def ask(container: str, method: str, path: str, body: str | None = None) -> int:
    """The status of an answer, 0 if there is none yet."""
    address = docker("port", container, f"{PORT}/tcp").splitlines()[0]
    connection = http.client.HTTPConnection(address, timeout=10)
    try:
        connection.request(method, path, body, {"Content-Type": "application/json"})
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()


@pytest.mark.timeout(1500)
def test_the_image_takes_and_keeps_events_without_a_clone(image: str, volume: str, container: str) -> None:
    assert ask(container, "POST", "/api/events", json.dumps(EVENT)) == http.client.ACCEPTED
    verified = docker("exec", container, "cloudscale", "verify", "--wait", "30s", "--data-dir", "/data")
    assert "zero lost" in verified
    docker("stop", "--time", "60", container)
    assert docker("inspect", "--format", "{{.State.ExitCode}}", container) == "0"

    again = start(image, volume)
    try:
        verified = docker("exec", again, "cloudscale", "verify", "--wait", "30s", "--data-dir", "/data", "--json")
        assert json.loads(verified)["totals"]["accepted"] == 1, verified
    finally:
        docker("rm", "--force", again)
