"""Senders with keys, on a cluster: refused without, admitted with one, refused again when it is revoked."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

from e2e.cluster import wait_until
from e2e.documents import wait_stored
from e2e.keys import secret_value, senders
from e2e.pipelines import RUN, pipeline

from cloudscale.access.new_keys import new_key

if TYPE_CHECKING:
    from e2e.cluster import Cluster

NAME = f"guarded-{RUN}"
SECRET_SECONDS = 240
"""How long it may take until a deleted Secret is missed, made anew and brought into the pods by the kubelet."""
FILE_SECONDS = 150
"""How long the kubelet may take to bring a changed Secret into the pods."""

SELDOM_SECONDS = 3
"""An address that tries wrong keys more often is refused for that."""


def test_events_need_a_key_unless_the_resource_says_otherwise(cluster: Cluster) -> None:
    made_without_access(cluster, NAME)
    with cluster.ingestion(NAME) as address:
        assert send(address) == 401
        cloudscale(cluster, NAME, "tenants", "create", "acme")
        key = json.loads(cloudscale(cluster, NAME, "keys", "create", "--tenant", "acme", "--name", "e2e", "--json"))
        assert send(address, key["key"], eventId="with-a-key") == 202
        assert send(address, key["key"], eventId="of-another", tenantId="contoso") == 403
        wait_stored(cluster, NAME, ["with-a-key"])
        cloudscale(cluster, NAME, "keys", "revoke", key["id"], "--tenant", "acme")
        wait_until("the revoked key is refused", lambda: send(address, key["key"]) == 401, seconds=10)


def test_the_first_key_is_in_a_secret_and_ends_with_it(cluster: Cluster) -> None:
    made_without_access(cluster, NAME)
    first = secret_value(cluster, f"{NAME}-access", "key")
    with cluster.ingestion(NAME) as address:
        # It is known, and may administer alone.
        assert send(address, first) == 403
        cluster.kubectl("delete", "secret", f"{NAME}-access")
        wait_until(
            "there is another first key", lambda: cluster.exists(f"secret/{NAME}-access"), seconds=SECRET_SECONDS
        )
        second = secret_value(cluster, f"{NAME}-access", "key")
        wait_until(
            "the other first key is known",
            lambda: send(address, second) == 403,
            seconds=SECRET_SECONDS,
            every_seconds=SELDOM_SECONDS,
        )
        assert send(address, first) == 401
    cluster.kubectl("delete", "evp", NAME, "--timeout=120s")
    wait_until("the first key is gone", lambda: not cluster.exists(f"secret/{NAME}-access"), seconds=60)


def test_given_keys_come_and_go_with_their_secret(cluster: Cluster) -> None:
    name = f"senders-{RUN}"
    one, two = new_key("acme", "one"), new_key("acme", "two")
    cluster.apply(senders(name, [one]), given_by(name))
    cluster.wait_ready(NAME)
    with cluster.ingestion(NAME) as address:
        assert (send(address, one.text), send(address, two.text)) == (202, 401)
        cluster.apply(senders(name, [two]))
        wait_until(
            "the new key is known",
            lambda: send(address, two.text) == 202,
            seconds=FILE_SECONDS,
            every_seconds=SELDOM_SECONDS,
        )
        assert send(address, one.text) == 401
    cluster.kubectl("delete", "evp", NAME, "--timeout=120s")


def test_a_secret_of_given_keys_that_is_missing_is_said_and_keeps_nobody_out(cluster: Cluster) -> None:
    cluster.apply(given_by(f"absent-{RUN}"))
    wait_until("the missing Secret is named", lambda: ready(cluster).get("reason") == "SecretMissing", seconds=90)
    assert f"absent-{RUN}" in ready(cluster)["message"]
    wait_until("its pods run", lambda: cluster.is_true(NAME, "IngestionAvailable"), seconds=120)
    cluster.kubectl("delete", "evp", NAME, "--timeout=120s")


def made_without_access(cluster: Cluster, name: str) -> None:
    """A pipeline whose resource says nothing of keys."""
    resource = pipeline(name)
    del resource["spec"]["access"]
    cluster.apply(resource)
    cluster.wait_ready(name)


def given_by(name: str) -> dict[str, Any]:
    """A pipeline that is given its keys by a Secret."""
    return pipeline(NAME, access={"keys": {"secretRef": {"name": name}}})


def ready(cluster: Cluster) -> dict[str, Any]:
    """The condition Ready of the pipeline, empty as long as there is none."""
    conditions = {each["type"]: each for each in cluster.status(NAME).get("conditions", [])}
    found: dict[str, Any] = conditions.get("Ready", {})
    return found


def send(address: str, key: str = "", **fields: str) -> int:
    """Send an event that names no tenant unless ``fields`` do; the status of the answer."""
    event = {"eventType": "page_view", "url": "https://example.com/", **fields}
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
    request = urllib.request.Request(f"http://{address}/api/events", json.dumps(event).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def cloudscale(cluster: Cluster, name: str, *arguments: str) -> str:
    """What a command says in a worker of the pipeline."""
    return cluster.kubectl("exec", f"deployment/{name}-worker", "--", "cloudscale", *arguments).strip()
