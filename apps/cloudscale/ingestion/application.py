"""Everything that ingestion serves beside the event routes: health, readiness, metrics and its description."""

from __future__ import annotations

import uuid
from importlib.resources import files
from typing import TYPE_CHECKING

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from cloudscale.ingestion import page_script
from cloudscale.ingestion.cross_origin import CrossOrigin
from cloudscale.ingestion.openapi import describe
from cloudscale.ingestion.page_script import PageScript
from cloudscale.ingestion.problems import CONTENT_TYPE, KINDS_BY_STATUS, Kind, Problem, render
from cloudscale.telemetry import metrics

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

    from cloudscale.ingestion.service import IngestionService
    from cloudscale.pipeline import EventPipeline

DOCS_PATH = "/docs"


def build(service: IngestionService, pipeline: EventPipeline) -> Starlette:
    """The application of one process."""
    description = msgspec.json.encode(describe(pipeline, access_required=service.access_required))
    page = files("cloudscale.ingestion").joinpath("docs.html").read_text(encoding="utf-8")

    async def health(_: Request) -> Response:
        return _json({"status": "alive"})

    async def ready(_: Request) -> Response:
        problems = service.unready()
        return _json({"status": "unready" if problems else "ready", "problems": problems}, 503 if problems else 200)

    async def measured(_: Request) -> Response:
        return Response(metrics.render(), media_type=metrics.CONTENT_TYPE)

    async def figures(_: Request) -> Response:
        return _json({"requestsPerSecond": service.request_rate.per_second})

    async def openapi(_: Request) -> Response:
        return Response(description, media_type="application/json")

    async def docs(_: Request) -> Response:
        return HTMLResponse(page, headers={"content-security-policy": "default-src 'self'; style-src 'unsafe-inline'"})

    async def script(_: Request) -> Response:
        content = files("cloudscale.ingestion").joinpath("docs.js").read_bytes()
        return Response(content, media_type="text/javascript")

    async def icon(_: Request) -> Response:
        content = files("cloudscale.ingestion").joinpath("icon.svg").read_bytes()
        return Response(content, media_type="image/svg+xml")

    async def home(_: Request) -> Response:
        return RedirectResponse(DOCS_PATH)

    return Starlette(
        routes=[
            Route("/", home),
            Route("/health", health),
            Route("/ready", ready),
            Route("/metrics", measured),
            Route("/figures", figures),
            Route("/openapi.json", openapi),
            Route(DOCS_PATH, docs),
            Route("/docs.js", script),
            Route(page_script.PATH, PageScript(CrossOrigin(pipeline.spec.access.browser.origins)).answer),
            Route("/favicon.ico", icon),
        ],
        exception_handlers={HTTPException: _problem, Exception: _mistake},
    )


def _json(content: object, status: int = 200) -> Response:
    return Response(msgspec.json.encode(content), status, media_type="application/json")


async def _problem(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    detail = f"{request.method} {request.url.path}: {error.detail}; {DOCS_PATH} lists what there is"
    return _refusal(request, Problem(KINDS_BY_STATUS[error.status_code], detail[:500], "route"), error.headers)


async def _mistake(request: Request, _: Exception) -> Response:
    return _refusal(request, Problem(Kind.INTERNAL, "this is a mistake of the server", "internal"))


def _refusal(request: Request, problem: Problem, headers: Mapping[str, str] | None = None) -> Response:
    correlation_id = uuid.uuid4().hex
    return Response(
        render(problem, correlation_id=correlation_id, instance=request.url.path),
        problem.status,
        {**(headers or {}), "content-type": CONTENT_TYPE, "x-correlation-id": correlation_id},
    )
