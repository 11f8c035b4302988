"""The templates for Azure: what they make has the names that the pipeline looks for."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
from tests.operator.examples import SPECS, build, find

from cloudscale.pipeline import Store
from cloudscale.pipeline.spec import ROLES
from cloudscale.store.containers import ContainerNames

INFRA = Path(__file__).parent.parent / "infra"


def test_each_role_has_an_identity_that_its_service_account_may_take_on() -> None:
    template = (INFRA / "main.bicep").read_text()
    (listed,) = re.findall(r"var roles = \[(.*)\]", template)
    roles = re.findall(r"'(\w+)'", listed)
    # The archive is reached by a connection string, so the template makes no identity for who writes it.
    assert tuple(roles) == ROLES
    assert "system:serviceaccount:${pipeline.namespace}:${pipeline.name}-${role}" in template
    objects = build(SPECS["identities-of-roles"])
    assert all(find(objects, "ServiceAccount", role)["metadata"]["name"] == f"example-{role}" for role in roles)


def test_every_container_of_the_pipeline_is_made() -> None:
    template = (INFRA / "cosmos.bicep").read_text()
    (directory,) = re.findall(r"var directory = '(.+)'", template)
    named = re.findall(r"\{ name: ('[^']+'|\w+), partitionKey", template)
    made = {name.strip("'").replace("directory", directory).replace("containerName", "Events") for name in named}
    wanted = {*msgspec.structs.astuple(ContainerNames.of(Store(container="Events"))), "Events-access"}
    assert {name.replace("${Events}", "Events") for name in made} == wanted


def test_ingestion_gets_no_right_to_any_event() -> None:
    store, queue = (INFRA / "cosmos.bicep").read_text(), (INFRA / "servicebus.bicep").read_text()
    assert re.findall(r"principalId: ingestionPrincipalId, role: (\w+), scope: '(.+)'", store) == [
        ("dataReader", "/dbs/${databaseName}/colls/${directory}")
    ]
    assert re.findall(r"principalId: ingestionPrincipalId, role: (\w+)", queue) == ["dataSender"]
