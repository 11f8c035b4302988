"""The routes of the reading API: a tenant's events in the order of their own time, one event, one user."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial, wraps
from typing import TYPE_CHECKING, Any, Final, TypeGuard

import msgspec
from starlette.routing import Route

from cloudscale.access.device_view import described
from cloudscale.dashboard import problems
from cloudscale.dashboard.problems import Kind, RefusedReadingError
from cloudscale.dashboard.reading.callers import reader_of
from cloudscale.dashboard.reading.device_questions import read_device_question
from cloudscale.dashboard.reading.models import (
    Device,
    DevicePage,
    DeviceWithKeys,
    EventPage,
    EventWithDevice,
    User,
)
from cloudscale.dashboard.reading.openapi import describe
from cloudscale.dashboard.reading.parameters import Parameters
from cloudscale.dashboard.reading.questions import read_question
from cloudscale.dashboard.responses import JsonResponse
from cloudscale.errors import CloudScaleError
from cloudscale.events.checking import EventId
from cloudscale.store.latest import EventFilter

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request
    from starlette.responses import Response

    from cloudscale.dashboard.backends import Backends
    from cloudscale.dashboard.reading.rates import ReadingLimits
    from cloudscale.store.batches import Document


EVENT_PARAMETERS: Final = ("include",)
INTERNAL: Final = frozenset(
    {
        *("id", "partitionKey", "neighbourPartition", "ttl"),
        *("payloadHash", "acceptance", "acceptedIn", "acceptedUnnamed"),
    }
)
"""What a stored event has for the pipeline alone."""


class Tenancy:
    """What a caller's tenant has in the store and in the directory, and the way to nothing else."""

    def __init__(self, tenant_id: str, backends: Backends) -> None:
        self.tenant_id = tenant_id
        tenants = frozenset({tenant_id})
        self.view = partial(backends.view, tenants)
        """Events and users."""
        self.devices = partial(backends.devices, tenants)


def reading(endpoint: Callable[[Request, Tenancy], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    """A route that answers callers who may read, from views of their tenant that are all it gets of the store."""

    @wraps(endpoint)
    async def answered(request: Request) -> Response:
        try:
            caller = await reader_of(request)
            limits: ReadingLimits = request.app.state.reading_limits
            limits.admit(caller.name)
            backends: Backends = request.app.state.backends
            async with limits.turn():
                return await endpoint(request, Tenancy(caller.tenant_id, backends))
        except CloudScaleError as error:
            return problems.answer(problems.refusal_of(error))

    return answered


@reading
async def events(request: Request, tenancy: Tenancy) -> Response:
    """The tenant's events by id, user, type, device, suspicion and time, in the order of their own time."""
    tenant_id = tenancy.tenant_id
    question = read_question(request.query_params, tenant_id, now=datetime.now(UTC))
    view = await tenancy.view()
    page = await view.find_by_creation(tenant_id, question.which, limit=question.limit, after=question.after)
    return JsonResponse(EventPage([*map(shown, page.documents)], question.cursor(page.following)))


@reading
async def event(request: Request, tenancy: Tenancy) -> Response:
    """One event, with its device if that is asked for."""
    parameters = Parameters(request.query_params, EVENT_PARAMETERS)
    with_device = parameters.choice("include", {"device": True})
    parameters.check()
    event_id: str = request.path_params["event_id"]
    view = await tenancy.view()
    found = await view.find_events(EventFilter(event_id=event_id), tenant=tenancy.tenant_id, limit=1)
    if not found:
        raise RefusedReadingError(Kind.NOT_FOUND, "No such event is stored. It may still be on its way.")
    if not with_device:
        return JsonResponse(shown(found[0]))
    return JsonResponse(EventWithDevice(shown(found[0]), await _device_of(found[0], tenancy)))


async def _device_of(document: Document, tenancy: Tenancy) -> Device | None:
    """The registered device that an event names. It is joined, not copied into events: it may change."""
    device_id = document.get("deviceId")
    if not is_device_id(device_id):
        return None
    view = await tenancy.devices()
    known = await view.find_device(tenancy.tenant_id, device_id)
    return None if known is None else msgspec.convert(described(known), Device)


@reading
async def devices(request: Request, tenancy: Tenancy) -> Response:
    """The tenant's devices by type, model and when they were seen, in the order of their ids."""
    question = read_device_question(request.query_params, tenancy.tenant_id)
    view = await tenancy.devices()
    page = await view.find_devices(question.which, tenant=tenancy.tenant_id, limit=question.limit, after=question.after)
    found = [msgspec.convert(described(each), Device) for each in page.devices]
    return JsonResponse(DevicePage(found, question.cursor(page.following)))


@reading
async def device(request: Request, tenancy: Tenancy) -> Response:
    """One device with the ids of its keys."""
    _refuse_parameters(request)
    device_id = request.path_params["device_id"]
    view = await tenancy.devices()
    known = await view.find_device(tenancy.tenant_id, device_id) if is_device_id(device_id) else None
    if known is None:
        raise RefusedReadingError(Kind.NOT_FOUND, "No such device is registered.")
    key_ids = await view.find_key_ids(tenancy.tenant_id, device_id)
    return JsonResponse(msgspec.convert({**described(known), "keyIds": key_ids}, DeviceWithKeys))


def is_device_id(text: object) -> TypeGuard[str]:
    """Whether a device may be called that; what an event carries may be anything."""
    try:
        msgspec.convert(text, EventId)
    except msgspec.ValidationError:
        return False
    return True


@reading
async def user(request: Request, tenancy: Tenancy) -> Response:
    """What is known of one user."""
    _refuse_parameters(request)
    view = await tenancy.view()
    profile = await view.find_profile(tenancy.tenant_id, request.path_params["user_id"])
    if profile is None:
        raise RefusedReadingError(Kind.NOT_FOUND, "No event of such a user is stored.")
    return JsonResponse(msgspec.convert(profile, User, from_attributes=True))


async def description(request: Request) -> Response:
    """The API's description as OpenAPI 3.1, for everybody: it is the same for all pipelines."""
    backends: Backends = request.app.state.backends
    return JsonResponse(describe(backends.resource.metadata.name))


def shown(document: Document) -> dict[str, Any]:
    """A stored event as its tenant sent it, with what the pipeline has found out."""
    return {name: value for name, value in document.items() if name not in INTERNAL and not name.startswith("_")}


def _refuse_parameters(request: Request) -> None:
    if request.query_params:
        raise RefusedReadingError(Kind.INVALID, "This address takes no parameters.")


routes = [
    Route("/api/v1/events", events, methods=["GET"]),
    Route("/api/v1/events/{event_id}", event, methods=["GET"]),
    Route("/api/v1/devices", devices, methods=["GET"]),
    Route("/api/v1/devices/{device_id}", device, methods=["GET"]),
    Route("/api/v1/users/{user_id:path}", user, methods=["GET"]),
    Route("/openapi.json", description, methods=["GET"]),
]
