"""Settings of a queue are kept and obeyed, or refused."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from azure.core.exceptions import HttpResponseError
from azure.servicebus import ServiceBusMessage
from azure.servicebus.exceptions import MessagingEntityDisabledError
from azure.servicebus.management import AuthorizationRule

from cloudscale.emulators.servicebus.authorization import SharedAccessKey
from cloudscale.emulators.servicebus.broker import Broker
from cloudscale.emulators.servicebus.description import QueueDescription, Status

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from azure.servicebus.aio import ServiceBusClient
    from azure.servicebus.management import ServiceBusAdministrationClient

IDLE = datetime.timedelta(minutes=5)


@pytest.mark.parametrize(
    ("name", "value"),
    [("status", "SendDisabled"), ("auto_delete_on_idle", IDLE), ("enable_batched_operations", False)],
)
def test_a_setting_is_kept(
    administration: ServiceBusAdministrationClient, make_queue: Callable[..., str], name: str, value: Any
) -> None:
    properties = administration.get_queue(make_queue(**{name: value}))
    assert properties.get(name) == value
    properties.max_delivery_count = 7
    administration.update_queue(properties)
    assert administration.get_queue(properties.name).get(name) == value


RULE = AuthorizationRule(
    type="SharedAccessAuthorizationRule",
    claim_type="SharedAccessKey",
    claim_value="None",
    rights=["Send"],
    key_name="k",
    primary_key="a" * 44,
    secondary_key="b" * 44,
)


@pytest.mark.parametrize(
    "settings",
    [
        {"enable_partitioning": True},
        {"enable_express": True},
        {"forward_to": "other"},
        {"forward_dead_lettered_messages_to": "other"},
        {"authorization_rules": [RULE]},
        {"max_message_size_in_kilobytes": 102_400},
    ],
)
def test_a_setting_that_would_be_forgotten_is_refused(make_queue: Callable[..., str], settings: dict[str, Any]) -> None:
    with pytest.raises(HttpResponseError, match="not supported by this emulator") as caught:
        make_queue(**settings)
    assert caught.value.status_code == 400


@pytest.mark.parametrize("settings", [{"status": "Nonsense"}, {"auto_delete_on_idle": datetime.timedelta(minutes=4)}])
def test_a_setting_that_makes_no_sense_is_refused(make_queue: Callable[..., str], settings: dict[str, Any]) -> None:
    with pytest.raises(HttpResponseError) as caught:
        make_queue(**settings)
    assert caught.value.status_code == 400


async def test_a_queue_that_is_disabled_for_senders_still_gives_its_messages(
    administration: ServiceBusAdministrationClient, client: ServiceBusClient, queue: str
) -> None:
    async with client.get_queue_sender(queue) as sender:
        await sender.send_messages(ServiceBusMessage("before"))
    properties = administration.get_queue(queue)
    properties.status = "SendDisabled"
    administration.update_queue(properties)
    with pytest.raises(MessagingEntityDisabledError):
        async with client.get_queue_sender(queue) as sender:
            await sender.send_messages(ServiceBusMessage("after"))
    async with client.get_queue_receiver(queue, max_wait_time=10) as receiver:
        (message,) = await receiver.receive_messages(max_message_count=5)
        assert str(message) == "before"


async def test_a_queue_that_is_disabled_for_receivers_takes_messages(
    client: ServiceBusClient, make_queue: Callable[..., str]
) -> None:
    queue = make_queue(status="ReceiveDisabled")
    async with client.get_queue_sender(queue) as sender:
        await sender.send_messages(ServiceBusMessage("one"))
    with pytest.raises(MessagingEntityDisabledError):
        async with client.get_queue_receiver(queue, max_wait_time=5) as receiver:
            await receiver.receive_messages()


def test_an_idle_queue_is_deleted_and_one_in_use_is_not(tmp_path: Path) -> None:
    now = 1_000_000
    broker = Broker(tmp_path, SharedAccessKey("name", "key"), clock=lambda: now)
    try:
        idle = int(IDLE.total_seconds() * 1000)
        for name in ("idle", "kept"):
            broker.create_queue(QueueDescription(name=name, auto_delete_on_idle=idle if name == "idle" else 10 * idle))
        now += idle - 1
        broker.tick()
        assert sorted(broker.queues) == ["idle", "kept"]
        now += 1
        broker.tick()
        assert list(broker.queues) == ["kept"]
    finally:
        broker.close()


def test_settings_of_an_older_journal_have_the_defaults() -> None:
    older = msgspec.json.decode(b'{"name":"old"}', type=QueueDescription)
    assert (older.status, older.batched_operations) == (Status.ACTIVE, True)


def test_the_namespace_has_properties(administration: ServiceBusAdministrationClient) -> None:
    properties = administration.get_namespace_properties()
    assert properties.name == "cloudscale"
    assert properties.messaging_sku == "Standard"


def test_topics_are_refused_by_name(administration: ServiceBusAdministrationClient) -> None:
    with pytest.raises(HttpResponseError, match="not supported by this emulator"):
        administration.create_topic("topic")


# The SDK asks an element of XML whether it is true when it makes a rule, which Python 3.12 warns of.
@pytest.mark.filterwarnings("ignore:Testing an element's truth value:DeprecationWarning")
def test_subscriptions_are_refused_by_name(administration: ServiceBusAdministrationClient) -> None:
    calls: list[Callable[[], object]] = [
        lambda: administration.create_subscription("topic", "subscription"),
        lambda: administration.get_subscription("topic", "subscription"),
        lambda: list(administration.list_subscriptions("topic")),
        lambda: administration.create_rule("topic", "subscription", "rule"),
        lambda: list(administration.list_topics()),
    ]
    for call in calls:
        with pytest.raises(HttpResponseError, match="not supported by this emulator"):
            call()
