"""What a process notices of the devices that send."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from msgspec import structs
from redis.exceptions import ConnectionError as RedisConnectionError

from cloudscale.access.caller import Caller
from cloudscale.access.scopes import Scope
from cloudscale.access.sightings import DEVICES_A_CALL, DeviceName, Sightings
from cloudscale.cache.connection import NO_RETRIES, open_redis
from cloudscale.cache.keys import Keys
from cloudscale.events.checking import Common
from cloudscale.events.enrichment import Origin, enrich
from cloudscale.ingestion import device_sightings as module
from cloudscale.ingestion.device_sightings import DeviceSightings

if TYPE_CHECKING:
    import pytest
    from redis.asyncio import Redis

    from cloudscale.events.enrichment import Enriched

KEYS = Keys(namespace="default", name="test")
NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)
THERMOSTAT = DeviceName("acme", "thermostat-7")


def caller(device_id: str | None = "thermostat-7") -> Caller:
    return Caller(
        name=f"keyOf-{device_id}", tenant_id="acme", scopes=frozenset({Scope.WRITE_EVENTS}), device_id=device_id
    )


def event(received_at: datetime = NOON, created_at: datetime | None = None) -> Enriched:
    common = Common(event_type="page_view", tenant_id="acme", created_at=created_at)
    return enrich({"eventType": "page_view"}, common, Origin("192.0.2.1", "c", received_at))


async def test_events_of_a_device_s_key_are_noticed_with_what_its_clock_is_off(redis: Redis) -> None:
    devices, sightings = DeviceSightings(), Sightings(redis, keys=KEYS)
    later = NOON + timedelta(seconds=3)

    devices.note(caller(), event(NOON, created_at=NOON - timedelta(minutes=5)))
    devices.note(caller(), event(later))
    await devices.write(sightings)

    seen = (await sightings.find([THERMOSTAT]))[THERMOSTAT]
    assert (seen.first, seen.last, seen.skew_seconds) == (NOON, later, 300)


async def test_events_of_other_keys_are_not(redis: Redis) -> None:
    devices = DeviceSightings()

    devices.note(caller(None), event(created_at=NOON - timedelta(days=300)))
    await devices.write(Sightings(redis, keys=KEYS))

    assert await redis.dbsize() == 0


async def test_several_keys_of_a_device_are_one_device(redis: Redis) -> None:
    devices, sightings = DeviceSightings(), Sightings(redis, keys=KEYS)
    old, new = structs.replace(caller(), name="old"), structs.replace(caller(), name="new")
    devices.note(new, event(NOON))
    devices.note(old, event(NOON - timedelta(seconds=2)))

    await devices.write(sightings)

    assert (await sightings.find([THERMOSTAT]))[THERMOSTAT].first == NOON - timedelta(seconds=2)
    assert (await sightings.find([THERMOSTAT]))[THERMOSTAT].last == NOON


async def test_what_is_written_once_is_not_written_again(redis: Redis) -> None:
    devices, sightings = DeviceSightings(), Sightings(redis, keys=KEYS)
    devices.note(caller(), event())
    await devices.write(sightings)
    await redis.flushdb()

    await devices.write(sightings)

    assert await redis.dbsize() == 0


async def test_many_devices_are_written_in_calls_of_bounded_length(redis: Redis) -> None:
    devices, sightings = DeviceSightings(), Sightings(redis, keys=KEYS)
    names = [DeviceName("acme", f"d{number}") for number in range(DEVICES_A_CALL + 1)]
    for name in names:
        devices.note(caller(name.device_id), event())

    await devices.write(sightings)

    assert (await sightings.find(names)).keys() == set(names)


async def test_what_redis_does_not_take_waits_for_the_next_time(redis: Redis) -> None:
    devices, sightings = DeviceSightings(), Sightings(redis, keys=KEYS)
    away = open_redis("redis://127.0.0.1:9/0", retry=NO_RETRIES)
    devices.note(caller(), event(NOON, created_at=NOON + timedelta(hours=1)))
    await devices.write(Sightings(away, keys=KEYS))
    await away.aclose()

    devices.note(caller(), event(NOON + timedelta(seconds=9)))
    await devices.write(sightings)

    seen = (await sightings.find([THERMOSTAT]))[THERMOSTAT]
    assert (seen.first, seen.last, seen.skew_seconds) == (NOON, NOON + timedelta(seconds=9), -3600)


async def test_a_clock_s_difference_survives_while_redis_is_away(redis: Redis) -> None:
    devices, sightings = DeviceSightings(), Sightings(redis, keys=KEYS)

    class Away(Sightings):
        async def add(self, noticed: object) -> None:  # noqa: ARG002
            devices.note(caller(), event(NOON + timedelta(seconds=1)))
            raise RedisConnectionError

    devices.note(caller(), event(NOON, created_at=NOON - timedelta(seconds=7)))
    await devices.write(Away(redis, keys=KEYS))
    await devices.write(sightings)

    seen = (await sightings.find([THERMOSTAT]))[THERMOSTAT]
    assert (seen.first, seen.skew_seconds) == (NOON, 7)


async def test_no_more_devices_are_held_than_stated(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_DEVICES", 2)
    devices, sightings = DeviceSightings(), Sightings(redis, keys=KEYS)
    names = [DeviceName("acme", each) for each in ("a", "b", "c")]
    for name in names:
        devices.note(caller(name.device_id), event())

    await devices.write(sightings)

    assert (await sightings.find(names)).keys() == set(names[:2])
