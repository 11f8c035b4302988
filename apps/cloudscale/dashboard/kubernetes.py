"""What Kubernetes says of the pipeline, read from the API server with the pod's own service account."""

from __future__ import annotations

import asyncio
import os
import ssl
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from cloudscale.pipeline import GROUP, PLURAL, VERSION

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
TIMEOUT = aiohttp.ClientTimeout(total=5)
EVENTS_SHOWN = 50
PIPELINE_LABEL = "app.kubernetes.io/instance"


class Cluster(msgspec.Struct, frozen=True):
    """The API server that this pod belongs to."""

    url: str

    @classmethod
    def from_environment(cls) -> Cluster | None:
        """The API server, or None outside of a pod."""
        host = os.environ.get("KUBERNETES_SERVICE_HOST")
        if host is None or not (SERVICE_ACCOUNT / "token").exists():
            return None
        address = f"[{host}]" if ":" in host else host
        return cls(f"https://{address}:{os.environ.get('KUBERNETES_SERVICE_PORT', '443')}")

    async def look_at(self, namespace: str, name: str) -> dict[str, Any]:
        """The resource's status, its children and its events; what may not be read is a line in ``problems``."""
        # The token is short-lived and renewed in its file.
        token = (SERVICE_ACCOUNT / "token").read_text(encoding="utf-8")
        trust = ssl.create_default_context(cafile=str(SERVICE_ACCOUNT / "ca.crt"))
        selector = f"{PIPELINE_LABEL}={name}"
        paths = {
            "resource": (f"/apis/{GROUP}/{VERSION}/namespaces/{namespace}/{PLURAL}/{name}", {}),
            "deployments": (f"/apis/apps/v1/namespaces/{namespace}/deployments", {"labelSelector": selector}),
            "pods": (f"/api/v1/namespaces/{namespace}/pods", {"labelSelector": selector}),
            "events": (f"/api/v1/namespaces/{namespace}/events", {"fieldSelector": f"involvedObject.name={name}"}),
        }
        problems: list[str] = []

        async def get(session: aiohttp.ClientSession, what: str) -> Any:
            path, query = paths[what]
            try:
                async with session.get(self.url + path, params=query, ssl=trust) as answer:
                    if answer.status == 200:
                        return await answer.json()
                    problems.append(f"{what}: the API server answers {answer.status}")
            except (aiohttp.ClientError, TimeoutError) as error:
                problems.append(f"{what}: {error}")
            return {}

        headers = {"Authorization": f"Bearer {token}"}
        async with aiohttp.ClientSession(headers=headers, timeout=TIMEOUT) as session:
            answers = await asyncio.gather(*(get(session, what) for what in paths))
        resource, deployments, pods, events = answers
        return {
            "status": resource.get("status", {}),
            "children": [deployment_summary(item) for item in deployments.get("items", [])]
            + [pod_summary(item) for item in pods.get("items", [])],
            "events": event_summaries(events.get("items", [])),
            "problems": problems,
        }


def deployment_summary(item: dict[str, Any]) -> dict[str, Any]:
    """Name and state of a Deployment."""
    status = item.get("status", {})
    wanted = item.get("spec", {}).get("replicas", 0)
    return {
        "kind": "Deployment",
        "name": item["metadata"]["name"],
        "state": f"{status.get('readyReplicas', 0)} of {wanted} ready",
        "good": status.get("readyReplicas", 0) >= wanted,
    }


def pod_summary(item: dict[str, Any]) -> dict[str, Any]:
    """Name and state of a Pod; the reason of a waiting container instead of the phase."""
    status = item.get("status", {})
    containers = status.get("containerStatuses", [])
    waiting = [state["reason"] for each in containers if (state := each.get("state", {}).get("waiting"))]
    restarts = sum(each.get("restartCount", 0) for each in containers)
    state = waiting[0] if waiting else status.get("phase", "Unknown")
    return {
        "kind": "Pod",
        "name": item["metadata"]["name"],
        "state": f"{state}, {restarts} restarts" if restarts else state,
        "good": bool(containers) and all(each.get("ready") for each in containers),
    }


def event_summaries(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The newest events of the resource, the newest first."""
    rows = [
        {
            "at": item.get("lastTimestamp") or item.get("eventTime") or item["metadata"].get("creationTimestamp"),
            "type": item.get("type", ""),
            "reason": item.get("reason", ""),
            "message": item.get("message", ""),
            "count": item.get("count") or 1,
        }
        for item in items
    ]
    rows.sort(key=lambda row: str(row["at"]), reverse=True)
    return rows[:EVENTS_SHOWN]
