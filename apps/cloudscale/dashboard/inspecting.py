"""The pipeline page's data: the resource, the processes that serve it, and on Kubernetes what belongs to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.routing import Route

from cloudscale import pipeline
from cloudscale.dashboard.kubernetes import Cluster
from cloudscale.dashboard.responses import JsonResponse, RefusedError
from cloudscale.dashboard.sessions import viewer_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.requests import Request
    from starlette.responses import Response

    from cloudscale.telemetry.figures import Figures


async def show(request: Request) -> Response:
    """All that is known of the pipeline itself. It is not for those who may see one tenant only."""
    viewer = await viewer_of(request)
    if viewer.tenants is not None:
        raise RefusedError(403, "This access token is for a tenant; the pipeline belongs to all of them.")
    state = request.app.state
    resource = state.backends.resource
    cluster = Cluster.from_environment()
    answer: dict[str, Any] = {
        "resource": pipeline.as_document(resource),
        "processes": processes(state.collector.processes),
        "audit": await state.audit.newest(),
        "kubernetes": None,
    }
    if cluster is not None:
        name, namespace = resource.metadata.name, resource.metadata.namespace
        answer["kubernetes"] = await state.answers.get("cluster", lambda: cluster.look_at(namespace, name))
    return JsonResponse(answer)


def processes(figures: Sequence[Figures]) -> list[dict[str, Any]]:
    """What a person wants to know of each process."""
    return [
        {
            "role": each.role,
            "process": each.process,
            "startedAt": each.started_at,
            "cpuSeconds": round(each.cpu_seconds, 2),
            "memoryBytes": each.memory_bytes,
            "accepted": sum(sum(tenants.values()) for tenants in each.accepted.values()),
            "persisted": sum(sum(tenants.values()) for tenants in each.persisted.values()),
            "concurrency": each.concurrency_limit or None,
            "breakers": each.breakers,
        }
        for each in sorted(figures, key=lambda each: (each.role, each.started_at))
    ]


routes = [Route("/api/pipeline", show)]
