"""The queue's management against the emulator's HTTPS API."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from azure.servicebus.management import ServiceBusAdministrationClient

from cloudscale.errors import BackendUnavailableError, ConfigurationError, CredentialError
from cloudscale.pipeline import Queue
from cloudscale.queue.administration import QueueAdministration, QueueDepth
from cloudscale.queue.sender import EventSender
from cloudscale.settings import Settings

if TYPE_CHECKING:
    from tests.servers.servicebus import ServiceBusServer


def settings_for(broker: ServiceBusServer, **changes: Any) -> Settings:
    settings = Settings(
        pipeline_file="",
        redis_url="",
        servicebus_connection_string=broker.connection_string,
        servicebus_management_url=broker.management_url,
        certificate_authority_file=str(broker.certificate_authority),
    )
    return msgspec.structs.replace(settings, **changes)


async def test_an_absent_queue_is_created_as_the_resource_says_and_only_once(broker: ServiceBusServer) -> None:
    spec = Queue(name="created", lock_duration="90s", max_delivery_count=7, time_to_live="48h")
    async with QueueAdministration(spec, settings_for(broker)) as administration:
        assert await administration.ensure_queue() is True
        assert await administration.ensure_queue() is False
    with ServiceBusAdministrationClient.from_connection_string(
        broker.administration_connection_string, connection_verify=str(broker.certificate_authority)
    ) as client:
        properties = client.get_queue("created")
    assert properties.lock_duration == timedelta(seconds=90)
    assert properties.max_delivery_count == 7
    assert properties.default_message_time_to_live == timedelta(hours=48)


async def test_the_depth_counts_what_was_sent(broker: ServiceBusServer) -> None:
    spec = Queue(name="deep")
    settings = settings_for(broker)
    async with (
        QueueAdministration(spec, settings) as administration,
        EventSender(spec, settings, pipeline="p") as sender,
    ):
        await administration.ensure_queue()
        await sender.send([b"[1]", b"[2]", b"[3]"])
        assert await administration.depth() == QueueDepth(active=3, dead_letters=0, scheduled=0)


async def test_the_depth_of_an_absent_queue_says_what_to_do(broker: ServiceBusServer) -> None:
    async with QueueAdministration(Queue(name="absent"), settings_for(broker)) as administration:
        with pytest.raises(BackendUnavailableError, match="does not exist: start ingestion"):
            await administration.depth()


async def test_a_refused_key_is_a_credential_error(broker: ServiceBusServer) -> None:
    settings = settings_for(
        broker, servicebus_connection_string=broker.connection_string.replace(broker.key, "d3Jvbmc=")
    )
    async with QueueAdministration(Queue(), settings) as administration:
        with pytest.raises(CredentialError):
            await administration.ensure_queue()


async def test_an_api_that_is_not_there_is_unavailable(broker: ServiceBusServer) -> None:
    settings = settings_for(broker, servicebus_management_url="https://127.0.0.1:1")
    async with QueueAdministration(Queue(), settings) as administration:
        with pytest.raises(BackendUnavailableError):
            await administration.depth()


@pytest.mark.parametrize("text", ["", "nonsense"])
async def test_an_unusable_connection_string_is_a_configuration_error(broker: ServiceBusServer, text: str) -> None:
    with pytest.raises(ConfigurationError):
        async with QueueAdministration(Queue(), settings_for(broker, servicebus_connection_string=text)):
            pass
