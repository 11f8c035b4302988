"""An outlet of a store, at work in passes that the test asks for, with a clock that the test moves."""

from __future__ import annotations

from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec

from cloudscale.outlets.signature import parse_secrets
from cloudscale.outlets.subscription import Subscription
from cloudscale.pipeline import EventPipeline, load

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.outlets.receiving import ReceiverServer

    from cloudscale.pipeline import Store
    from cloudscale.settings import Settings
    from cloudscale.store.events import EventStore

SECRET_REF = {"name": "hook", "key": "secret"}


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.now

    def move(self, **units: float) -> None:
        """Let time pass."""
        self.now += timedelta(**units)


def outlet(receiver: ReceiverServer, *, name: str = "crm", **fields: Any) -> dict[str, Any]:
    """An outlet to a receiver on this machine; what a webhook has not is the outlet's."""
    webhook = {"url": receiver.url, "secretRef": SECRET_REF, "allowPrivate": True}
    of_webhook = {"batch", "timeout", "retryFor", "allowPrivate", "url"}
    webhook |= {key: value for key, value in fields.items() if key in of_webhook}
    others = {key: value for key, value in fields.items() if key not in of_webhook}
    return {"name": name, "webhook": webhook, "start": "Beginning", **others}


def resource(spec: Store, *outlets: dict[str, Any]) -> EventPipeline:
    """A pipeline with these outlets."""
    return load(
        {
            "apiVersion": "cloudscale.io/v1alpha1",
            "kind": "EventPipeline",
            "metadata": {"name": "shop"},
            "spec": {"store": {"database": spec.database}, "outlets": list(outlets)},
        }
    )


@asynccontextmanager
async def subscribed(
    store: EventStore,
    spec: Store,
    settings: Settings,
    given: dict[str, Any],
    *,
    secret: str,
    clock: Clock | None = None,
) -> AsyncIterator[Subscription]:
    """The outlet of a store."""
    pipeline = resource(spec, given)
    (only,) = pipeline.spec.outlets
    given_settings = msgspec.structs.replace(settings, pipeline_file="pipeline.json")
    async with Subscription(
        pipeline, only, store=store, settings=given_settings, keys=parse_secrets(secret), now=clock or Clock()
    ) as subscription:
        await subscription.look()
        yield subscription


async def send_all(subscription: Subscription) -> None:
    """Go on until there is nothing to do at once."""
    while await subscription.run_once():
        pass
