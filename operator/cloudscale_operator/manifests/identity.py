"""Whom the pods are: a ServiceAccount without any right, and one for the dashboard, which may look at its pipeline."""

from __future__ import annotations

from typing import Any

from cloudscale.pipeline import GROUP, PLURAL, EventPipeline
from cloudscale_operator.kinds import ROLE, ROLE_BINDING, SERVICE_ACCOUNT, Manifest
from cloudscale_operator.names import DASHBOARD, PIPELINE_SERVICE_ACCOUNT, object_name

RBAC_GROUP = "rbac.authorization.k8s.io"


def build_identity(pipeline: EventPipeline) -> list[Manifest]:
    """ServiceAccounts, and the dashboard's Role with its binding."""
    accounts = [_account(pipeline, PIPELINE_SERVICE_ACCOUNT)]
    return accounts + (_dashboard(pipeline) if pipeline.spec.dashboard.enabled else [])


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
        _account(pipeline, DASHBOARD),
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


def _account(pipeline: EventPipeline, part: str) -> Manifest:
    metadata: dict[str, Any] = {"name": object_name(pipeline.metadata.name, part)}
    if client := pipeline.spec.identity.client_id:
        metadata["annotations"] = {"azure.workload.identity/client-id": client}
    return {
        "apiVersion": SERVICE_ACCOUNT.api_version,
        "kind": SERVICE_ACCOUNT.kind,
        "metadata": metadata,
        "automountServiceAccountToken": False,
    }
