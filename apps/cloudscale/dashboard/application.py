"""Puts the dashboard together: backends, collector, routes."""

from __future__ import annotations

import asyncio
import socket
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from redis.exceptions import RedisError
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import Response
from starlette.routing import Mount, Route

from cloudscale.access.last_use import LastUse
from cloudscale.access.opening import open_authentication
from cloudscale.access.sightings import Sightings
from cloudscale.cache.keys import keys_of
from cloudscale.dashboard import (
    dead_letters,
    devices,
    inspecting,
    overview,
    records,
    refusals,
    sessions,
    single_sign_on,
    verifying,
)
from cloudscale.dashboard.access import TokenFile
from cloudscale.dashboard.administering import routes as administering
from cloudscale.dashboard.backends import Backends
from cloudscale.dashboard.body_limit import BodyLimit
from cloudscale.dashboard.collector import Collector
from cloudscale.dashboard.dead_letter_survey import Survey
from cloudscale.dashboard.first_sightings import FirstSightings
from cloudscale.dashboard.reading import routes as reading
from cloudscale.dashboard.reading.rates import ReadingLimits, ReadingRates
from cloudscale.dashboard.responses import EXCEPTION_HANDLERS, JsonResponse, SecurityHeaders
from cloudscale.dashboard.session_store import SessionStore
from cloudscale.dashboard.signing_in import signing_in
from cloudscale.dashboard.slow_answers import SlowAnswers
from cloudscale.dashboard.static_files import assets
from cloudscale.dashboard.ttl_cache import TtlCache
from cloudscale.ledger.audit import Audit
from cloudscale.ledger.verification import Balance
from cloudscale.limits.client_address import ClientAddresses
from cloudscale.tasks import cancel_and_wait, start_task
from cloudscale.telemetry import metrics

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request

    from cloudscale.dashboard.reading.callers import Callers
    from cloudscale.pipeline import EventPipeline
    from cloudscale.settings import Settings

BALANCE_SECONDS = 10.0
SURVEY_SECONDS = 15.0
ANSWER_SECONDS = 4.0


def build_application(
    resource: EventPipeline,
    settings: Settings,
    *,
    callers: Callers | None = None,
    reading_rates: ReadingRates = ReadingRates(),  # noqa: B008 - frozen
) -> Starlette:
    """The dashboard of one pipeline as an ASGI application.

    ``callers`` are those who may use the reading API; whoever is in the pipeline's directory when they are not given.

    Raises:
        ConfigurationError: the token file cannot be used.
    """
    tokens = TokenFile(Path(settings.dashboard_token_file) if settings.dashboard_token_file else None)

    @asynccontextmanager
    async def lifespan(application: Starlette) -> AsyncIterator[None]:
        state = application.state
        async with (
            Backends(resource, settings) as backends,
            SlowAnswers[Balance](BALANCE_SECONDS) as balances,
            AsyncExitStack() as resources,
            SlowAnswers[Survey](SURVEY_SECONDS) as surveys,
        ):
            keys = keys_of(resource)
            state.tokens = tokens
            state.addresses = ClientAddresses(resource.spec.ingestion)
            state.backends = backends
            state.sessions = SessionStore(backends.redis, key_prefix=keys.sessions)
            state.audit = Audit(backends.redis, keys)
            state.last_uses = LastUse(backends.redis, keys)
            authentication = open_authentication(resource, settings, backends.redis)
            state.callers = callers or await resources.enter_async_context(authentication)
            state.reading_limits = ReadingLimits(reading_rates)
            state.acts = []
            state.balances = balances
            state.surveys = surveys
            state.answers = TtlCache(ANSWER_SECONDS)
            state.stopping = asyncio.Event()
            state.collector = Collector(backends.redis, keys, backlog=backends.backlog, name=socket.gethostname())
            state.collecting = start_task(state.collector.run(), name="collector")
            first_sightings = FirstSightings(backends.directory, Sightings(backends.redis, keys=keys))
            writing = start_task(first_sightings.write_now_and_then(), name="first-sightings")
            try:
                async with signing_in(state, resource, settings):
                    await state.collector.begun()
                    yield
            finally:
                state.stopping.set()
                await cancel_and_wait(state.collecting, writing)

    application = Starlette(
        routes=[
            Route("/health", _health),
            Route("/ready", _ready),
            Route("/metrics", _metrics),
            *sessions.routes,
            *single_sign_on.routes,
            *overview.routes,
            *verifying.routes,
            *records.routes,
            *devices.routes,
            *refusals.routes,
            *dead_letters.routes,
            *inspecting.routes,
            *reading.routes,
            *administering.routes,
            Mount("/static", assets()),
        ],
        middleware=[Middleware(SecurityHeaders), Middleware(BodyLimit), Middleware(GZipMiddleware, minimum_size=1024)],
        exception_handlers=EXCEPTION_HANDLERS,
        lifespan=lifespan,
    )
    # An id with %2F behind it is no other way to write the id.
    application.router.redirect_slashes = False
    return application


async def _health(request: Request) -> Response:
    if request.app.state.collecting.done():
        # Only a restart brings it back.
        return JsonResponse({"status": "failed", "problems": ["the collector of live figures ended, see the log"]}, 503)
    return JsonResponse({"status": "alive"})


async def _ready(request: Request) -> Response:
    try:
        await request.app.state.backends.redis.ping()
    except (RedisError, OSError) as error:
        return JsonResponse({"status": "unready", "problems": [f"Redis cannot be reached: {error}"]}, 503)
    return JsonResponse({"status": "ready"})


async def _metrics(_request: Request) -> Response:
    return Response(metrics.render(), media_type=metrics.CONTENT_TYPE)
