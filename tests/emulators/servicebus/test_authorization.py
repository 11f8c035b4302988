from __future__ import annotations

import base64
import datetime
import hashlib
import hmac
import time
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from azure.servicebus import ServiceBusMessage
from azure.servicebus._base_handler import _generate_sas_token
from azure.servicebus.aio import ServiceBusClient
from azure.servicebus.exceptions import ServiceBusAuthenticationError, ServiceBusAuthorizationError
from tests.servers.servicebus import KEY_NAME

from cloudscale.emulators.servicebus.authorization import Claim, SharedAccessKey, entity_path, verify
from cloudscale.emulators.servicebus.conditions import ArgumentError, UnauthorizedError

if TYPE_CHECKING:
    from tests.servers.servicebus import ServiceBusServer

KEY = SharedAccessKey("policy", "c2VjcmV0+/==")


def token(uri: str = "sb://host/queue", *, name: str = "policy", key: str = KEY.key, seconds: int = 60) -> str:
    return str(_generate_sas_token(uri, name, key, datetime.timedelta(seconds=seconds)).token)


def test_a_token_of_the_sdk_is_accepted_for_its_resource_and_below() -> None:
    claim = verify(token(), KEY, now=time.time())
    assert claim.covers("queue", time.time())
    assert claim.covers("Queue/$deadletterqueue", time.time())
    assert not claim.covers("queue2", time.time())
    assert not claim.covers("queue", time.time() + 61)


def test_a_token_for_the_namespace_covers_everything() -> None:
    assert verify(token("sb://host/"), KEY, now=time.time()).covers("any", time.time())


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (token(key="other"), "signature"),
        (token(name="other"), "no key named 'other'"),
        (token().replace("&se=", "&se=9"), "signature"),
        ("SharedAccessSignature sr=a&se=1", "lacks sig, skn"),
        ("SharedAccessSignature s%72=a&se=1&sig=a&skn=policy", "lacks sr"),
        ("SharedAccessSignature sr=a&se=1&sig=%C3%A9&skn=policy", "signature"),
        ("SharedAccessSignature sr=a&se=1&sig=\u00e9&skn=policy", "beyond ASCII"),
        ("SharedAccessSignature sr=\udcff&se=1&sig=a&skn=policy", "beyond ASCII"),
        ("Bearer eyJ0", "no SharedAccessSignature"),
        ("", "no SharedAccessSignature"),
    ],
)
def test_a_wrong_token_is_refused_with_its_reason(wrong: str, reason: str) -> None:
    with pytest.raises(UnauthorizedError, match=reason):
        verify(wrong, KEY, now=time.time())


def test_an_expired_token_is_refused() -> None:
    with pytest.raises(UnauthorizedError, match="expired"):
        verify(token(seconds=60), KEY, now=time.time() + 61)


def test_addresses_are_paths_whatever_their_host() -> None:
    assert entity_path("sb://localhost:5672/Queue") == "queue"
    assert entity_path("amqps%3a") == "amqps:"
    assert entity_path("Queue/$management") == "queue/$management"


def test_an_address_that_is_no_url_is_an_argument_error() -> None:
    with pytest.raises(ArgumentError, match="cannot be read"):
        entity_path("sb://[host/queue")


def test_a_token_that_expires_at_no_number_is_refused() -> None:
    signature = base64.b64encode(hmac.new(KEY.key.encode(), b"a\nnan", hashlib.sha256).digest()).decode()
    with pytest.raises(UnauthorizedError, match="expired"):
        verify(f"SharedAccessSignature sr=a&sig={quote(signature, '')}&se=nan&skn=policy", KEY, now=1)


def test_an_empty_claim_covers_everything_until_it_expires() -> None:
    assert Claim("", 10).covers("queue", 9)
    assert not Claim("", 10).covers("queue", 10)


async def test_a_wrong_key_is_an_authentication_error(server: ServiceBusServer, queue: str) -> None:
    connection_string = server.connection_string.replace(server.key, "wrong")
    async with ServiceBusClient.from_connection_string(connection_string, retry_total=0) as client:
        with pytest.raises(ServiceBusAuthenticationError):
            async with client.get_queue_sender(queue) as sender:
                await sender.send_messages(ServiceBusMessage("no"))


async def test_a_token_for_another_queue_is_an_authorization_error(server: ServiceBusServer, queue: str) -> None:
    signature = token(f"sb://{server.host}/another", name=KEY_NAME, key=server.key)
    connection_string = (
        f"Endpoint=sb://{server.host}:{server.port};SharedAccessSignature={signature};UseDevelopmentEmulator=true"
    )
    async with ServiceBusClient.from_connection_string(connection_string, retry_total=0) as client:
        with pytest.raises(ServiceBusAuthorizationError):
            async with client.get_queue_receiver(queue):
                pass
