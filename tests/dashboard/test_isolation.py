"""Nobody who sees one tenant is told anything of another one, on any route that the dashboard's application has."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import pytest
from msgspec import structs
from starlette.routing import Mount, Route
from tests.browser.traffic import USED_BY_BOTH
from tests.dashboard.reading.known_callers import KnownCallers, bearer
from tests.dashboard.tokens import CONTOSO, CONTOSO_MANAGER, MANAGER, OWNER, TOKENS
from tests.servers.dashboard import OWN_PAGE
from tests.servers.reading import reading_client
from tests.waiting import wait_until

from cloudscale.access.container import AlreadyExistsError, open_access
from cloudscale.access.records import Device
from cloudscale.dashboard.application import build_application
from cloudscale.pipeline import load
from cloudscale.settings import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    import aiohttp
    from tests.servers.dashboard import DashboardServer
    from tests.servers.pipeline import RunningPipeline

WITHIN = timedelta(seconds=60)
OTHERS = (b"fabrikam", b"northwind", b"tailspin")
"""Tenants whose events name them in many fields."""

OK, REFUSED, ABSENT = frozenset({200, 202}), frozenset({403}), frozenset({404})
UNCONFIGURED = frozenset({200, 400, 404})
"""Of signing in with a provider that there is not: an answer without data, or none."""


class Ask(NamedTuple):
    """A request of somebody of contoso: a path, in which what stands in braces is fabrikam's."""

    path: str
    statuses: frozenset[int] = OK
    content: Any = None
    shows: bool = False
    """Whether who sees all, or fabrikam, is told of fabrikam: then the case would notice a leak."""


def administering(prefix: str) -> dict[tuple[str, str], Sequence[Ask]]:
    """What is asked on the routes of tenants and keys; ``{key}`` is the id of a key of fabrikam's."""
    tenants, keys = f"{prefix}/tenants", f"{prefix}/keys"
    return {
        ("GET", tenants): [Ask(tenants, shows=True), Ask(f"{tenants}?cursor=dGVuYW50IGNvbnRvc28", shows=True)],
        ("POST", tenants): [Ask(tenants, REFUSED, {"id": "contoso-2"})],
        ("GET", f"{tenants}/{{tenant_id}}"): [
            Ask(f"{tenants}/contoso"),
            Ask(f"{tenants}/fabrikam", REFUSED, shows=True),
        ],
        ("PATCH", f"{tenants}/{{tenant_id}}"): [
            Ask(f"{tenants}/contoso", REFUSED, {"disabled": False}),
            Ask(f"{tenants}/fabrikam", REFUSED, {"disabled": True}),
        ],
        ("GET", keys): [
            Ask(f"{keys}?limit=200", shows=True),
            Ask(f"{keys}?tenant=fabrikam", REFUSED, shows=True),
        ],
        ("POST", keys): [Ask(keys, REFUSED, {"name": "ours", "tenantId": "fabrikam"})],
        ("PATCH", f"{keys}/{{key_id}}"): [Ask(f"{keys}/{{key}}", ABSENT, {"name": "ours"})],
        ("POST", f"{keys}/{{key_id}}/rotate"): [Ask(f"{keys}/{{key}}/rotate", ABSENT, {})],
        ("POST", f"{keys}/{{key_id}}/revoke"): [Ask(f"{keys}/{{key}}/revoke", ABSENT, {})],
    }


CASES: dict[tuple[str, str], Sequence[Ask]] = {
    ("GET", "/health"): [Ask("/health")],
    ("GET", "/ready"): [Ask("/ready")],
    ("GET", "/metrics"): [Ask("/metrics")],
    ("GET", "/"): [Ask("/")],
    ("GET", "/sign-in"): [Ask("/sign-in")],
    ("GET", "/api/sign-in"): [Ask("/api/sign-in")],
    ("GET", "/sign-in/start"): [Ask("/sign-in/start", UNCONFIGURED)],
    ("GET", "/sign-in/callback"): [Ask("/sign-in/callback", UNCONFIGURED)],
    ("GET", "/static"): [Ask("/static/app.js")],
    ("GET", "/openapi.json"): [Ask("/openapi.json")],
    ("GET", "/api/session"): [Ask("/api/session")],
    ("POST", "/api/session"): [Ask("/api/session", content={"token": CONTOSO})],
    ("DELETE", "/api/session"): [Ask("/api/session", frozenset({204}))],
    ("GET", "/api/history"): [
        Ask("/api/history", shows=True),
        Ask("/api/history?span=day"),
        Ask("/api/history?span=week"),
    ],
    ("GET", "/api/stream"): [Ask("/api/stream")],
    ("GET", "/api/verification"): [Ask("/api/verification", shows=True), Ask("/api/verification?span=all", shows=True)],
    ("POST", "/api/verification"): [Ask("/api/verification")],
    ("GET", "/api/events"): [
        Ask("/api/events", shows=True),
        Ask("/api/events?tenant=fabrikam", REFUSED, shows=True),
        Ask("/api/events?id={event}", shows=True),
        Ask("/api/events?user={user}", shows=True),
        Ask("/api/events?suspicious=true", shows=True),
        Ask("/api/events?after=9999999999:x", shows=True),
    ],
    ("GET", "/api/events/{event_id}"): [
        Ask("/api/events/{event}", ABSENT, shows=True),
        Ask("/api/events/{event}?tenant=fabrikam", REFUSED, shows=True),
        Ask("/api/events/{event}?tenant=contoso", ABSENT),
    ],
    ("GET", "/api/users"): [
        Ask("/api/users", shows=True),
        Ask("/api/users?user={user}", shows=True),
        Ask("/api/users?tenant=fabrikam", REFUSED, shows=True),
        Ask("/api/users?tenant=fabrikam&user={user}", REFUSED, shows=True),
    ],
    ("GET", "/api/devices"): [
        Ask("/api/devices", shows=True),
        Ask("/api/devices?id={device}", shows=True),
        Ask("/api/devices?type=fabrikam-thermostat", shows=True),
        Ask("/api/devices?tenant=fabrikam", REFUSED, shows=True),
        Ask("/api/devices?after=fabrikam:"),
    ],
    ("GET", "/api/security"): [
        Ask("/api/security", shows=True),
        Ask("/api/security?user={user}"),
        Ask("/api/security?tenant=fabrikam", REFUSED),
    ],
    ("GET", "/api/refused"): [Ask("/api/refused"), Ask("/api/refused?tenant=fabrikam", REFUSED)],
    ("GET", "/api/dead-letters"): [Ask("/api/dead-letters", shows=True)],
    ("GET", "/api/dead-letters/{sequence_number:int}"): [Ask("/api/dead-letters/{letter}", ABSENT, shows=True)],
    ("POST", "/api/dead-letters/replay"): [
        Ask("/api/dead-letters/replay", REFUSED, {"sequenceNumbers": ["{letter}"]}),
    ],
    ("POST", "/api/dead-letters/discard"): [
        Ask("/api/dead-letters/discard", REFUSED, {"sequenceNumbers": ["{letter}"]}),
    ],
    ("GET", "/api/pipeline"): [Ask("/api/pipeline", REFUSED)],
    ("GET", "/api/v1/events"): [
        Ask("/api/v1/events?limit=200", shows=True),
        Ask("/api/v1/events?order=asc", shows=True),
        Ask("/api/v1/events?id={event}", shows=True),
        Ask("/api/v1/events?user={user}", shows=True),
        Ask("/api/v1/events?suspicious=true", shows=True),
        Ask("/api/v1/events?tenant=fabrikam", frozenset({400})),
    ],
    ("GET", "/api/v1/events/{event_id}"): [
        Ask("/api/v1/events/{event}", ABSENT, shows=True),
        Ask("/api/v1/events/{event}?include=device", ABSENT, shows=True),
    ],
    ("GET", "/api/v1/devices"): [
        Ask("/api/v1/devices", shows=True),
        Ask("/api/v1/devices?seenBefore=2100-01-01T00:00:00Z", shows=True),
        Ask("/api/v1/devices?type=fabrikam-thermostat", shows=True),
        Ask("/api/v1/devices?tenant=fabrikam", frozenset({400})),
    ],
    ("POST", "/api/v1/devices"): [Ask("/api/v1/devices", REFUSED, {"id": "thermostat-9", "tenantId": "fabrikam"})],
    ("GET", "/api/v1/devices/{device_id}"): [Ask("/api/v1/devices/{device}", ABSENT, shows=True)],
    ("GET", "/api/v1/users/{user_id:path}"): [Ask("/api/v1/users/{user}", OK | ABSENT, shows=True)],
    **administering("/api/v1"),
    **administering("/api/access"),
    ("GET", "/api/access/rates"): [Ask("/api/access/rates")],
}
"""What is asked on each route, by its method and path."""


def routes() -> set[tuple[str, str]]:
    """Method and path of every route that the application has."""
    resource = load(
        {"apiVersion": "cloudscale.io/v1alpha1", "kind": "EventPipeline", "metadata": {"name": "listed"}, "spec": {}}
    )
    found = set()
    for route in build_application(resource, Settings(pipeline_file="", redis_url="redis://127.0.0.1:9/0")).routes:
        assert isinstance(route, Route | Mount)
        methods = (route.methods if isinstance(route, Route) else None) or {"GET"}
        found |= {(method, route.path) for method in methods if method != "HEAD"}
    return found


def test_every_route_has_a_case() -> None:
    assert set(CASES) == routes()


@pytest.fixture
async def client(running: RunningPipeline, tmp_path: Path) -> AsyncIterator[aiohttp.ClientSession]:
    """A client of a dashboard that has a token for contoso's pages and a key for contoso's data."""
    file = tmp_path / "tokens.json"
    file.write_bytes(msgspec.json.encode(TOKENS))
    instance = running.instance
    settings = structs.replace(instance.settings, dashboard_token_file=str(file))
    async with reading_client(instance.pipeline, settings, callers=KnownCallers()) as session:
        yield session


@pytest.fixture
async def fabrikam_s(dashboard: DashboardServer, poisoned: list[int], running: RunningPipeline) -> dict[str, Any]:
    """An event, a user, a device, a dead letter and a key of fabrikam."""
    device = Device(id="thermostat-7", tenant_id="fabrikam", created_at=datetime.now(UTC), type="fabrikam-thermostat")
    async with open_access(running.instance.pipeline.spec.store, running.instance.settings) as container:
        await container.ensure()
        with suppress(AlreadyExistsError):
            await container.create(device)
    shown = dashboard.call("/api/events?tenant=fabrikam", token=OWNER).json["events"]
    # Another test sends an event whose id both tenants use.
    found = next(each for each in shown if "userId" in each and each["eventId"] != USED_BY_BOTH)
    letters = dashboard.call("/api/dead-letters", token=OWNER).json["deadLetters"]
    letter = next(each["sequenceNumber"] for each in letters if each["tenantId"] == "fabrikam")
    assert letter in poisoned
    return {
        "event": found["eventId"],
        "user": found["userId"],
        "letter": letter,
        "device": device.id,
        "key": fabrikam_key(dashboard),
    }


def fabrikam_key(dashboard: DashboardServer) -> str:
    """The id of a new key of fabrikam's, in a directory that has both tenants."""
    ask = partial(dashboard.call, token=MANAGER, method="POST", headers=OWN_PAGE)
    for tenant in ("contoso", "fabrikam"):
        assert ask("/api/access/tenants", content={"id": tenant}).status in {201, 409}
    made = ask("/api/access/keys", content={"name": "theirs", "tenantId": "fabrikam"})
    assert made.status == 201
    return str(made.json["id"])


async def answer_to(
    client: aiohttp.ClientSession, method: str, ask: Ask, *, token: str, known: dict[str, Any]
) -> tuple[int, bytes]:
    """Status and content of an answer, or the beginning of one that does not end."""
    content = ask.content
    if isinstance(content, dict) and "sequenceNumbers" in content:
        content = {"sequenceNumbers": [known["letter"]]}
    path = ask.path.format(**known)
    async with client.request(method, path, json=content, headers={**OWN_PAGE, **bearer(token)}) as response:
        if response.content_type == "text/event-stream":
            return response.status, b"".join([await response.content.readline() for _ in range(4)])
        return response.status, await response.read()


def own_of(method: str, path: str) -> tuple[str, str]:
    """What somebody of contoso, and somebody who is told of fabrikam, sends to a path."""
    if path.startswith(("/api/v1/tenants", "/api/v1/keys")) or (method == "POST" and path == "/api/v1/devices"):
        return "contoso-admin-key", "admin-key"
    if path.startswith("/api/access/"):
        return CONTOSO_MANAGER, MANAGER
    return ("contoso-key", "fabrikam-key") if path.startswith("/api/v1/") else (CONTOSO, OWNER)


@pytest.mark.parametrize(("method", "route"), CASES)
async def test_nothing_of_another_tenant_is_told(
    client: aiohttp.ClientSession, fabrikam_s: dict[str, Any], method: str, route: str
) -> None:
    for ask in CASES[method, route]:
        await _check(client, method, ask, known=fabrikam_s)


async def _check(client: aiohttp.ClientSession, method: str, ask: Ask, *, known: dict[str, Any]) -> None:
    own, theirs = own_of(method, ask.path)
    # The collector reads the traffic of the first second, and a balance takes its time.
    if ask.shows:

        async def is_told() -> bool:
            _, content = await answer_to(client, method, ask, token=theirs, known=known)
            return b"fabrikam" in content

        await wait_until(is_told, within=WITHIN)

    status, content = await answer_to(client, method, ask, token=own, known=known)

    assert status in ask.statuses, content
    # What was asked for is repeated in the refusal.
    told = content.replace(b"not for tenant fabrikam", b"")
    assert not [each for each in OTHERS if each in told]


@pytest.mark.parametrize(
    "path", ["/api/v1/events", "/api/v1/events/x", "/api/v1/users/x", "/api/v1/devices", "/api/v1/devices/x"]
)
async def test_the_pages_sessions_and_tokens_open_no_data(client: aiohttp.ClientSession, path: str) -> None:
    for token in (OWNER, CONTOSO):
        async with client.post("/api/session", json={"token": token}, headers=OWN_PAGE) as response:
            cookie = response.cookies["cloudscale-session"].value
        async with client.get("/api/session", headers={"Cookie": f"cloudscale-session={cookie}"}) as response:
            assert response.status == 200
        async with client.get(path, headers={"Cookie": f"cloudscale-session={cookie}"}) as response:
            assert response.status == 401
        async with client.get(path, headers=bearer(token)) as response:
            assert response.status == 401


OPEN = {"/api/sign-in"}
"""What is told to those who are not signed in yet."""

PAGES = sorted(
    {
        ask.path.partition("?")[0]
        for (method, route), asks in CASES.items()
        for ask in asks
        if method == "GET" and route.startswith("/api/") and not route.startswith("/api/v1/") and route not in OPEN
    }
)


@pytest.mark.parametrize("path", PAGES)
async def test_keys_open_no_pages(client: aiohttp.ClientSession, path: str) -> None:
    async with client.get(path.format(event="x", letter=1), headers=bearer("contoso-key")) as response:
        assert response.status == 401


async def test_all_answers_at_once_are_each_the_asker_s_own(
    client: aiohttp.ClientSession, fabrikam_s: dict[str, Any]
) -> None:
    """Answers that are kept for a while are kept for each set of tenants apart."""
    asks = [(method, ask) for (method, _), asks in CASES.items() for ask in asks if method == "GET" and ask.shows]
    calls = [
        answer_to(client, method, ask, token=token, known=fabrikam_s)
        for method, ask in asks
        for token in own_of(method, ask.path)
    ]

    answers = await asyncio.gather(*calls)

    for _, content in answers[::2]:
        assert not [each for each in OTHERS if each in content.replace(b"not for tenant fabrikam", b"")]
