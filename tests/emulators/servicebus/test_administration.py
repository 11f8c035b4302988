"""The management API with the real administration client, and the emulator's own paths with plain HTTP."""

from __future__ import annotations

import datetime
import json
import uuid
from typing import TYPE_CHECKING, Any

import pytest
import requests
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.servicebus._base_handler import _generate_sas_token
from azure.servicebus.management import ServiceBusAdministrationClient
from tests.servers.servicebus import KEY_NAME

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.servers.servicebus import ServiceBusServer

TIMEOUT_SECONDS = 10


def test_a_queue_keeps_every_setting(administration: ServiceBusAdministrationClient, make_queue: Any) -> None:
    settings: dict[str, Any] = {
        "lock_duration": datetime.timedelta(seconds=42),
        "max_delivery_count": 7,
        "default_message_time_to_live": datetime.timedelta(days=14, seconds=5),
        "requires_session": True,
        "requires_duplicate_detection": True,
        "duplicate_detection_history_time_window": datetime.timedelta(minutes=3),
        "dead_lettering_on_message_expiration": True,
        "max_size_in_megabytes": 5120,
        "user_metadata": "<made & kept>",
    }
    properties = administration.get_queue(make_queue(**settings))
    assert {name: properties.get(name) for name in settings} == settings


def test_a_queue_has_the_defaults_of_the_service(administration: ServiceBusAdministrationClient, queue: str) -> None:
    properties = administration.get_queue(queue)
    assert properties.lock_duration == datetime.timedelta(minutes=1)
    assert (properties.max_delivery_count, properties.max_size_in_megabytes) == (10, 1024)
    assert properties.status == "Active"


def test_a_queue_can_be_changed(administration: ServiceBusAdministrationClient, queue: str) -> None:
    properties = administration.get_queue(queue)
    properties.max_delivery_count = 3
    administration.update_queue(properties)
    assert administration.get_queue(queue).max_delivery_count == 3


def test_runtime_properties_start_at_zero(administration: ServiceBusAdministrationClient, queue: str) -> None:
    figures = administration.get_queue_runtime_properties(queue)
    assert (figures.active_message_count, figures.dead_letter_message_count, figures.size_in_bytes) == (0, 0, 0)
    assert figures.created_at_utc is not None
    assert abs(datetime.datetime.now(datetime.UTC) - figures.created_at_utc) < datetime.timedelta(minutes=1)


def test_queues_are_listed_over_several_pages(
    administration: ServiceBusAdministrationClient, make_queue: Callable[..., str]
) -> None:
    made = {make_queue() for _ in range(5)}
    listed = [properties.name for properties in administration.list_queues(max_page_size=2)]
    assert made <= set(listed)
    assert len(listed) == len(set(listed))


def test_a_deleted_queue_is_gone(administration: ServiceBusAdministrationClient, queue: str) -> None:
    administration.delete_queue(queue)
    with pytest.raises(ResourceNotFoundError):
        administration.get_queue(queue)
    with pytest.raises(ResourceNotFoundError):
        administration.delete_queue(queue)


def test_a_name_that_is_taken_is_a_conflict(administration: ServiceBusAdministrationClient, queue: str) -> None:
    with pytest.raises(ResourceExistsError):
        administration.create_queue(queue.upper())


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"forward_to": "other"}, "ForwardTo is not supported"),
        ({"lock_duration": datetime.timedelta(minutes=6)}, "LockDuration"),
        ({"max_delivery_count": 0}, "MaxDeliveryCount"),
    ],
)
def test_what_the_emulator_cannot_do_is_refused(
    administration: ServiceBusAdministrationClient, settings: dict[str, Any], reason: str
) -> None:
    with pytest.raises(HttpResponseError, match=reason) as caught:
        administration.create_queue(f"queue-{uuid.uuid4().hex}", **settings)
    assert caught.value.status_code == 400


def test_a_wrong_key_is_refused(server: ServiceBusServer) -> None:
    connection_string = server.administration_connection_string.replace(server.key, "wrong")
    with (
        ServiceBusAdministrationClient.from_connection_string(
            connection_string, connection_verify=str(server.certificate_authority)
        ) as client,
        pytest.raises(HttpResponseError) as caught,
    ):
        client.get_queue("any")
    assert caught.value.status_code == 401


def request(server: ServiceBusServer, method: str, path: str, **options: Any) -> requests.Response:
    return requests.request(
        method,
        server.management_url + path,
        verify=str(server.certificate_authority),
        timeout=TIMEOUT_SECONDS,
        **options,
    )


def authorization(server: ServiceBusServer) -> dict[str, str]:
    signature = _generate_sas_token(f"https://{server.host}", KEY_NAME, server.key, datetime.timedelta(minutes=5)).token
    return {"Authorization": str(signature)}


@pytest.mark.parametrize(
    "body", [b"", b"<", b"<a/>", b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', b"\xff", b"<a>" + b"x" * 70_000 + b"</a>"]
)
def test_a_body_that_is_no_queue_is_a_client_error(server: ServiceBusServer, body: bytes) -> None:
    answer = request(server, "PUT", "/new", data=body, headers=authorization(server))
    assert answer.status_code in {400, 413}


@pytest.mark.parametrize("part", ["sig=%C3%A9", b"sig=\xff"])
def test_a_token_beyond_ascii_is_refused_and_no_error_of_the_server(
    server: ServiceBusServer, part: str | bytes
) -> None:
    escaped = part.encode() if isinstance(part, str) else part
    token = b"SharedAccessSignature sr=a&se=9999999999&skn=" + KEY_NAME.encode() + b"&" + escaped
    assert request(server, "GET", "/any", headers={"Authorization": token}).status_code == 401


@pytest.mark.parametrize("page", ["$skip=-1", "$top=0", "$skip=-" + "9" * 4300, "$top=ten"])
def test_a_page_that_cannot_be_is_a_client_error(server: ServiceBusServer, page: str) -> None:
    answer = request(server, "GET", f"/$Resources/queues?{page}", headers=authorization(server))
    assert answer.status_code == 400


def test_health_and_metrics_need_no_token(server: ServiceBusServer, queue: str) -> None:
    assert request(server, "GET", "/health").json()["status"] == "alive"
    text = request(server, "GET", "/metrics").text
    assert f'cloudscale_servicebus_messages{{queue="{queue}",state="active"}} 0.0' in text
    assert "cloudscale_servicebus_fsync_seconds_count" in text


def test_probes_may_use_plain_http(server: ServiceBusServer) -> None:
    url = server.management_url.replace("https", "http")
    assert requests.get(f"{url}/health", timeout=TIMEOUT_SECONDS).status_code == 200


def test_faults_need_a_token_and_known_names(server: ServiceBusServer) -> None:
    assert request(server, "PUT", "/$faults", data=b"{}").status_code == 401
    unknown = request(server, "PUT", "/$faults", data=json.dumps({"explode": True}), headers=authorization(server))
    assert unknown.status_code == 400
    assert request(server, "DELETE", "/$faults", headers=authorization(server)).status_code == 204
