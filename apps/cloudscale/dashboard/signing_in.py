"""Puts together what signing in with the provider needs, for as long as the dashboard runs."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from cloudscale.access.issuer import Issuer
from cloudscale.cache.keys import keys_of
from cloudscale.dashboard.people import People
from cloudscale.dashboard.provider import ProviderClient
from cloudscale.dashboard.renewals import Renewals
from cloudscale.dashboard.sign_in_attempt import Attempts
from cloudscale.dashboard.single_sign_on import MOST_EXCHANGES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.datastructures import State

    from cloudscale.pipeline import EventPipeline
    from cloudscale.settings import Settings


@asynccontextmanager
async def signing_in(state: State, resource: EventPipeline, settings: Settings) -> AsyncIterator[None]:
    """Give the routes their provider, None where the resource has none. ``state`` has its backends and sessions."""
    spec = resource.spec.dashboard.sign_in
    state.people = None
    if spec is None:
        yield
        return
    prefix, authority = keys_of(resource).sign_ins, settings.certificate_authority_file
    client = ProviderClient(spec.client_id, authority_file=authority)
    async with Issuer(spec.issuer, authority_file=authority) as issuer:
        people = People(spec, issuer=issuer, client=client, secret_file=settings.dashboard_client_secret_file)
        state.people = people
        state.attempts = Attempts(state.backends.redis, key_prefix=prefix)
        state.exchanges = asyncio.Semaphore(MOST_EXCHANGES)
        state.renewals = Renewals(state.backends.redis, key_prefix=prefix, store=state.sessions, ask=people.renew)
        try:
            yield
        finally:
            await state.renewals.close()
            await client.close()
