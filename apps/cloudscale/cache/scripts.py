"""Registers the scripts that run in Redis. Each lies in a ``.lua`` file beside the module that calls it."""

from __future__ import annotations

from datetime import timedelta
from importlib.resources import files
from typing import TYPE_CHECKING, Final

from cloudscale.cache.records import PERIOD, TENANTS_AN_HOUR

if TYPE_CHECKING:
    from redis.asyncio import Redis
    from redis.commands.core import AsyncScript


def _read(package: str, name: str) -> str:
    return files(package).joinpath(f"{name}.lua").read_text(encoding="utf-8")


COUNT_LUA: Final = (
    f"local TENANTS_AN_HOUR, PERIOD_MILLISECONDS = {TENANTS_AN_HOUR}, {PERIOD // timedelta(milliseconds=1)}\n"
    + _read("cloudscale.cache", "count")
)
"""Defines ``count``, for the scripts that count in the ledger's hours."""


def register(redis: Redis, package: str, name: str, *, counts: bool = False) -> AsyncScript:
    """The script ``name.lua`` of a package, ready to be called.

    It is sent to Redis by its digest, and whole when Redis does not have it, which it loses with a restart.

    Args:
        redis: the client that runs it.
        package: where the file lies, such as ``cloudscale.limits``.
        name: of the file, without its ending.
        counts: whether the script calls ``count``.
    """
    return redis.register_script((COUNT_LUA if counts else "") + _read(package, name))
