"""Trouble on request, for tests and benches: ``PUT /$faults`` with any of these members, ``DELETE`` to end it."""

import asyncio
import random
from typing import Annotated, Final

import msgspec

from cloudscale.emulators.cosmos.decoding import decode_json
from cloudscale.emulators.cosmos.errors import CosmosError, ThrottledRequestError
from cloudscale.emulators.cosmos.protocol import Abort

Ratio = Annotated[float, msgspec.Meta(ge=0, le=1)]
Milliseconds = Annotated[int, msgspec.Meta(ge=0, le=600_000)]


class FaultPlan(msgspec.Struct, rename="camel", forbid_unknown_fields=True, frozen=True):
    """``delay_milliseconds`` before each request; ``fail_ratio`` of them get 503 and ``throttle_ratio`` 429, undone.

    With ``stall`` no request is answered or done until the plan changes. With ``drop_answers`` requests are done, and
    the connection is closed instead of an answer: the client cannot know the outcome.
    """

    delay_milliseconds: Milliseconds = 0
    fail_ratio: Ratio = 0.0
    throttle_ratio: Ratio = 0.0
    retry_after_milliseconds: Milliseconds = 100
    stall: bool = False
    drop_answers: bool = False


_plan_decoder: Final = msgspec.json.Decoder(FaultPlan)


class Faults:
    """The plan in force."""

    def __init__(self) -> None:
        self._plan = FaultPlan()
        self._flowing = asyncio.Event()
        self._flowing.set()

    @property
    def plan(self) -> FaultPlan:
        """What is asked for."""
        return self._plan

    @plan.setter
    def plan(self, plan: FaultPlan) -> None:
        self._plan = plan
        if plan.stall:
            self._flowing.clear()
        else:
            self._flowing.set()

    def load(self, body: bytes) -> None:
        """Take over the plan in ``body``; raises CosmosError 400."""
        self.plan = decode_json(_plan_decoder, body, "The fault plan")

    async def before(self) -> None:
        """Delay, stall or refuse the request that is about to be done."""
        plan = self._plan
        if plan.delay_milliseconds:
            await asyncio.sleep(plan.delay_milliseconds / 1000)
        if plan.stall:
            await self._flowing.wait()
        draw = random.random()  # noqa: S311 - no secret depends on it
        if draw < plan.throttle_ratio:
            raise ThrottledRequestError(retry_after_milliseconds=plan.retry_after_milliseconds)
        if draw < plan.throttle_ratio + plan.fail_ratio:
            raise CosmosError(503, "The service is unavailable, as the fault plan asks.")

    def after(self) -> None:
        """Keep the answer back if the plan says so."""
        if self._plan.drop_answers:
            raise Abort
