"""What the store holds, for the pages Events, Users and Security: all of it asked for when somebody looks."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

import msgspec
from msgspec import structs
from starlette.routing import Route

from cloudscale.dashboard.responses import JsonResponse, RefusedError
from cloudscale.dashboard.sessions import viewer_of
from cloudscale.events.timestamps import parse_moment
from cloudscale.store.latest import EventFilter, Position, position_of
from cloudscale.store.ranking import Rank, rank_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from starlette.datastructures import QueryParams
    from starlette.requests import Request
    from starlette.responses import Response

    from cloudscale.dashboard.access import Viewer
    from cloudscale.dashboard.backends import Backends
    from cloudscale.store.tenant_view import TenantView

EVENTS_SHOWN = 100
ALERTS_SHOWN = 100
RECENT_EVENTS = 500
"""Events that the top clients are taken from."""

PROFILES_SHOWN = 50
CLIENTS_SHOWN = 10
SCORE_DIGITS = 18
SECOND_DIGITS = 12
"""Of a Unix time in seconds, for thousands of years."""


async def events(request: Request) -> Response:
    """Events by id, correlation id, tenant, user, type, device, time and suspicion, the last stored first.

    ``next`` is what to give as ``after`` for those that follow, None when there are none.
    """
    view = await view_of(request)
    asked = request.query_params
    which = EventFilter(
        event_id=asked.get("id") or None,
        correlation_id=asked.get("correlationId") or None,
        user_id=asked.get("user") or None,
        event_type=asked.get("type") or None,
        device_id=asked.get("device") or None,
        suspicious=True if asked.get("suspicious") == "true" else None,
        since=_moment(asked, "since"),
        until=_moment(asked, "until"),
    )
    tenant, after = asked.get("tenant") or None, position_asked(asked.get("after"))
    found = await view.find_events(which, tenant=tenant, limit=EVENTS_SHOWN + 1, after=after)
    shown = found[:EVENTS_SHOWN]
    following = _position_text(position_of(shown[-1])) if len(found) > EVENTS_SHOWN else None
    rows = [_summary(document) for document in _by_reception(shown)]
    return JsonResponse({"events": rows, "limit": EVENTS_SHOWN, "next": following})


def _position_text(position: Position) -> str:
    return f"{position.written}:{position.event_id}"


def position_asked(text: str | None) -> Position | None:
    """The position that a page of events goes on behind, as the page before it has named it.

    Raises:
        RefusedError: it is none.
    """
    if not text:
        return None
    written, colon, event_id = text.partition(":")
    if not (colon and written.isascii() and written.isdecimal() and len(written) <= SECOND_DIGITS):
        raise RefusedError(400, "after is no position: give what the page before has as next.")
    return Position(int(written), event_id)


def _moment(asked: QueryParams, name: str) -> datetime | None:
    text = asked.get(name)
    if not text:
        return None
    if (moment := parse_moment(text)) is None:
        raise RefusedError(400, f"{name} is no time: {text!r}. Give it with its offset, as in 2024-05-02T10:00:00Z.")
    return moment


async def event(request: Request) -> Response:
    """One event with all its fields, by tenant and id: tenants may use the same ids."""
    view = await view_of(request)
    event_id, tenant = request.path_params["event_id"], request.query_params.get("tenant") or None
    found = await view.find_events(EventFilter(event_id=event_id), tenant=tenant, limit=EVENTS_SHOWN)
    if not found:
        raise RefusedError(404, f"No event {event_id} is stored. It may still be in the queue, or be a dead letter.")
    if len(tenants := sorted({str(document.get("tenantId")) for document in found})) > 1:
        names = ", ".join(tenants)
        raise RefusedError(409, f"Several tenants have an event {event_id}: add ?tenant= with one of {names}.")
    return JsonResponse({"event": {name: value for name, value in found[0].items() if not name.startswith("_")}})


async def users(request: Request) -> Response:
    """The profiles with the highest scores, of a tenant or of one user if they are given, page by page.

    ``count`` is how many match on all pages; ``next`` is what to give as ``after`` for those that follow, None when
    there are none.
    """
    view, asked = await view_of(request), request.query_params
    found, count = await view.find_profiles(
        tenant=asked.get("tenant") or None,
        user_id=asked.get("user") or None,
        limit=PROFILES_SHOWN + 1,
        after=rank_asked(asked.get("after")),
    )
    shown = found[:PROFILES_SHOWN]
    following = rank_text(rank_of(shown[-1])) if len(found) > PROFILES_SHOWN else None
    hidden = {"id", "partitionKey", "position", "_etag"}
    rows = [
        {name: value for name, value in msgspec.to_builtins(profile).items() if name not in hidden} for profile in shown
    ]
    return JsonResponse({"users": rows, "count": count, "next": following})


def rank_text(rank: Rank) -> str:
    """A rank as the address of a page has it."""
    return f"{rank.score}:{quote(rank.id, safe='')}:{quote(rank.tenant_id, safe='')}"


def rank_asked(text: str | None) -> Rank | None:
    """The rank that a page of users goes on behind, as the page before it has named it.

    Raises:
        RefusedError: it is none.
    """
    if not text:
        return None
    score, *names = text.split(":")
    digits = score.removeprefix("-")
    if len(names) != 2 or not (digits.isascii() and digits.isdecimal() and len(digits) <= SCORE_DIGITS):
        raise RefusedError(400, "after is no rank: give what the page before has as next.")
    return Rank(int(score), *map(unquote, names))


async def security(request: Request) -> Response:
    """Alerts, the newest suspicious events with their evidence, and the clients that send the most."""
    viewer = await viewer_of(request)
    view = await _seen_by(request, viewer)
    which = EventFilter(user_id=request.query_params.get("user") or None)
    tenant = request.query_params.get("tenant") or None
    if which.user_id is None and tenant is None:
        # What everybody looks at; answers about single users would pile up.
        known = request.app.state.answers.get(("security", viewer.tenants), lambda: _security(view, which, tenant=None))
        return JsonResponse(await known)
    return JsonResponse(await _security(view, which, tenant=tenant))


async def _security(view: TenantView, which: EventFilter, *, tenant: str | None) -> dict[str, Any]:
    alerts, suspicious, recent = await asyncio.gather(
        view.find_alerts(tenant=tenant, user_id=which.user_id, limit=ALERTS_SHOWN),
        view.find_events(structs.replace(which, suspicious=True), tenant=tenant, limit=EVENTS_SHOWN),
        view.find_events(which, tenant=tenant, limit=RECENT_EVENTS),
    )
    return {
        "alerts": alerts,
        "suspicious": [_summary(document) | {"fraud": document.get("fraud")} for document in _by_reception(suspicious)],
        "clients": top_clients(recent),
        "clientsOf": len(recent),
    }


def top_clients(documents: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The client addresses that sent most of the events, with how many of theirs were suspicious."""
    sent: Counter[str] = Counter()
    flagged: Counter[str] = Counter()
    tenants: dict[str, set[str]] = {}
    for document in documents:
        address = str(document.get("clientAddress", ""))
        sent[address] += 1
        flagged[address] += bool(document.get("suspicious"))
        tenants.setdefault(address, set()).add(str(document.get("tenantId")))
    return [
        {
            "clientAddress": address,
            "events": count,
            "suspicious": flagged[address],
            "tenants": sorted(tenants[address])[:5],
        }
        for address, count in sent.most_common(CLIENTS_SHOWN)
    ]


async def view_of(request: Request) -> TenantView:
    """What the sender of a request may see of the store.

    Raises:
        RefusedError: reading needs a token and there is none that holds.
    """
    return await _seen_by(request, await viewer_of(request))


async def _seen_by(request: Request, viewer: Viewer) -> TenantView:
    backends: Backends = request.app.state.backends
    return await backends.view(viewer.tenants)


def _by_reception(documents: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(documents, key=lambda document: str(document.get("receivedAt", "")), reverse=True)


_SUMMARY = (
    *("eventId", "eventType", "tenantId", "userId", "deviceId", "correlationId", "clientAddress"),
    *("createdAt", "receivedAt", "processedAt", "suspicious"),
)


def _summary(document: dict[str, Any]) -> dict[str, Any]:
    return {name: document[name] for name in _SUMMARY if name in document}


routes = [
    Route("/api/events", events),
    Route("/api/events/{event_id}", event),
    Route("/api/users", users),
    Route("/api/security", security),
]
