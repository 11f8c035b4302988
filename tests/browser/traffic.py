"""Traffic like that of some shops, so that every page of the dashboard has something to show."""

from __future__ import annotations

import asyncio
import contextlib
import random
import uuid
from typing import TYPE_CHECKING, Any

import aiohttp
import msgspec
from azure.servicebus import ServiceBusMessage

from cloudscale.queue.connection import open_client

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from tests.servers.pipeline import RunningPipeline

TENANTS = {"northwind": 6, "contoso": 4, "fabrikam": 2, "tailspin": 1}
EVENT_TYPES = {"page_view": 12, "user_action": 5, "purchase": 2}
PAGES = ("/", "/catalogue", "/catalogue/shoes", "/basket", "/help")
BATCH_EVENTS = 40
BUSY_CLIENT = "198.51.100.23"
BUSY_SHARE = 0.08
"""Of the requests. It is above what the fraud check takes for a person, and the other clients are far below."""
USED_BY_BOTH = "used-by-both"
"""The id of two events, one of contoso's and one of fabrikam's, for who needs the same id twice."""


def event(tenant: str | None = None) -> dict[str, Any]:
    """One event of a random shop, visitor and type."""
    kind = random.choices(list(EVENT_TYPES), weights=list(EVENT_TYPES.values()))[0]
    tenant = tenant or random.choices(list(TENANTS), weights=list(TENANTS.values()))[0]
    made: dict[str, Any] = {
        "eventType": kind,
        "eventId": uuid.uuid4().hex,
        "tenantId": tenant,
        "userId": f"visitor-{int(random.paretovariate(0.7)) % 900}",
    }
    if kind == "page_view":
        made["url"] = f"https://{tenant}.example{random.choice(PAGES)}"
    elif kind == "user_action":
        made |= {"actionName": random.choice(["search", "add_to_cart", "open_details"]), "properties": {}}
    else:
        made |= {"actionName": "checkout", "amount": round(random.uniform(5, 250), 2), "currency": "EUR"}
    return made


def client() -> str:
    """The address of one of many clients, for a pipeline that trusts this machine to forward requests."""
    return BUSY_CLIENT if random.random() < BUSY_SHARE else f"203.0.113.{random.randint(1, 254)}"


async def post(session: aiohttp.ClientSession, url: str, content: object) -> int:
    """Send an event, or a list of them as a batch; the status of the answer."""
    path = "/api/events/batch" if isinstance(content, list) else "/api/events"
    async with session.post(url + path, json=content, headers={"X-Forwarded-For": client()}) as response:
        await response.read()
        return response.status


async def flow(url: str, *, events_per_second: float, seconds: float | None = None) -> None:
    """Send events at about this rate, in batches and alone, with a copy or a bad event now and then."""
    loop = asyncio.get_running_loop()
    started = loop.time()
    async with aiohttp.ClientSession() as session:
        sent = 0
        while seconds is None or loop.time() - started < seconds:
            batch = [event() for _ in range(BATCH_EVENTS)]
            alone = event()
            requests: list[object] = [batch, alone]
            if sent % 5 == 0:
                requests.append(alone)
            if sent % 11 == 0:
                requests.append({"eventType": "page_view", "tenantId": "contoso"})
            sent += 1
            with contextlib.suppress(aiohttp.ClientError):
                await asyncio.gather(*(post(session, url, request) for request in requests))
            wave = 1 + 0.25 * random.random()
            await asyncio.sleep((BATCH_EVENTS + 1) / events_per_second * wave)


@contextlib.asynccontextmanager
async def flowing(url: str, *, events_per_second: float) -> AsyncIterator[None]:
    """Traffic for as long as the block lasts."""
    task = asyncio.create_task(flow(url, events_per_second=events_per_second))
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def poison(
    running: RunningPipeline, *, tenants: Sequence[str], event_id: str = "", event_type: str | None = "unheard_of"
) -> None:
    """Put a message with a bad event in the queue for each tenant, as no client of ingestion can.

    The event's type is unknown, or is missing where it is None.
    """
    instance = running.instance
    queue = instance.pipeline.spec.queue
    named = {"eventId": event_id} if event_id else {}
    typed = {} if event_type is None else {"eventType": event_type}
    bodies = [msgspec.json.encode([{"tenantId": tenant} | typed | named]) for tenant in tenants]
    async with open_client(queue, instance.settings) as client, client.get_queue_sender(queue.name) as sender:
        await sender.send_messages([ServiceBusMessage(body) for body in bodies])
