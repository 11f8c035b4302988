"""Whom the pods are: a ServiceAccount for each role.

None has a right in the cluster but the dashboard's, which may look at its pipeline. Roles that share an Azure identity
share the account ``NAME-pipeline`` too, which the identity's federated credential names; only the dashboard has one of
its own all the same. The operator is a role here because it reads the depth of the queue with such an account.
"""

from __future__ import annotations

from typing import Any

from cloudscale.pipeline import GROUP, PLURAL, EventPipeline, Role
from cloudscale_operator.kinds import ROLE, ROLE_BINDING, SERVICE_ACCOUNT, Manifest
from cloudscale_operator.names import (
    DASHBOARD,
    FOLLOWER,
    INGESTION,
    PIPELINE_SERVICE_ACCOUNT,
    READER,
    WORKER,
    object_name,
)

RBAC_GROUP = "rbac.authorization.k8s.io"


def build_identity(pipeline: EventPipeline) -> list[Manifest]:
    """ServiceAccounts, and the dashboard's Role with its binding."""
    # There also where nobody shares it: pods of an earlier version run as it until they are replaced.
    accounts = [_account(pipeline, PIPELINE_SERVICE_ACCOUNT, pipeline.spec.identity.client_id)]
    roles: list[Role] = [INGESTION, WORKER]
    if pipeline.spec.archive is not None or pipeline.spec.outlets:
        roles.append(FOLLOWER)
    if pipeline.spec.identity.has_its_own(READER):
        roles.append(READER)
    accounts += [_account_of(pipeline, role) for role in roles if not _shares_an_account(pipeline, role)]
    return accounts + (_dashboard(pipeline) if pipeline.spec.dashboard.enabled else [])


def service_account(pipeline: EventPipeline, role: Role) -> str:
    """The name of the account of a role."""
    part = PIPELINE_SERVICE_ACCOUNT if _shares_an_account(pipeline, role) else role
    return object_name(pipeline.metadata.name, part)


def _shares_an_account(pipeline: EventPipeline, role: Role) -> bool:
    identity = pipeline.spec.identity
    return role != DASHBOARD and identity.client_id is not None and not identity.has_its_own(role)


def dashboard_rules(pipeline: str) -> list[dict[str, Any]]:
    """What the dashboard reads: its own pipeline, and Deployments, pods and Events of the namespace."""
    return [
        {"apiGroups": [GROUP], "resources": [PLURAL], "resourceNames": [pipeline], "verbs": ["get"]},
        {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get", "list"]},
        {"apiGroups": [""], "resources": ["pods", "events"], "verbs": ["get", "list"]},
    ]


def _dashboard(pipeline: EventPipeline) -> list[Manifest]:
    name = object_name(pipeline.metadata.name, DASHBOARD)
    return [
        _account_of(pipeline, DASHBOARD),
        {
            "apiVersion": ROLE.api_version,
            "kind": ROLE.kind,
            "metadata": {"name": name},
            "rules": dashboard_rules(pipeline.metadata.name),
        },
        {
            "apiVersion": ROLE_BINDING.api_version,
            "kind": ROLE_BINDING.kind,
            "metadata": {"name": name},
            "roleRef": {"apiGroup": RBAC_GROUP, "kind": ROLE.kind, "name": name},
            "subjects": [
                {"kind": SERVICE_ACCOUNT.kind, "name": name, "namespace": pipeline.metadata.namespace},
            ],
        },
    ]


def _account_of(pipeline: EventPipeline, role: Role) -> Manifest:
    return _account(pipeline, role, pipeline.spec.identity.client_id_of(role))


def _account(pipeline: EventPipeline, part: str, client_id: str | None) -> Manifest:
    metadata: dict[str, Any] = {"name": object_name(pipeline.metadata.name, part)}
    if client_id:
        metadata["annotations"] = {"azure.workload.identity/client-id": client_id}
    return {
        "apiVersion": SERVICE_ACCOUNT.api_version,
        "kind": SERVICE_ACCOUNT.kind,
        "metadata": metadata,
        "automountServiceAccountToken": False,
    }
