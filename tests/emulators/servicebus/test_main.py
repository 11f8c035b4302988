from __future__ import annotations

import socket
import subprocess
import sys
from typing import TYPE_CHECKING

from azure.servicebus import ServiceBusClient, ServiceBusMessage, TransportType
from tests.servers.servicebus import servicebus_server

if TYPE_CHECKING:
    from pathlib import Path

TIMEOUT_SECONDS = 20


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cloudscale.emulators.servicebus", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False)


def test_a_busy_port_is_reported_in_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = run("--data-dir", str(tmp_path), "--port", str(port), "--management-port", "0", "--log-level", "error")
    assert result.returncode == 2
    assert result.stderr.splitlines() == [
        f"error: port {port} cannot be used (Address already in use): stop what uses it, or choose another --port"
    ]


def test_a_busy_management_port_is_reported_in_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = run("--data-dir", str(tmp_path), "--port", "0", "--management-port", str(port), "--log-level", "error")
    assert result.returncode == 2
    assert "choose another --management-port" in result.stderr


def test_a_data_directory_in_use_is_refused(tmp_path: Path) -> None:
    with servicebus_server(tmp_path):
        result = run("--data-dir", str(tmp_path), "--port", "0", "--management-port", "0")
    assert result.returncode == 2
    assert "in use by another emulator" in result.stderr


def test_a_key_file_that_is_missing_is_reported(tmp_path: Path) -> None:
    result = run("--data-dir", str(tmp_path), "--shared-access-key-file", str(tmp_path / "none"))
    assert result.returncode == 2
    assert "cannot be read" in result.stderr


def test_a_log_that_cannot_be_written_keeps_nobody_from_sending(tmp_path: Path) -> None:
    (tmp_path / "server.log").symlink_to("/dev/full")
    with servicebus_server(tmp_path, queues=["events"]) as server:
        client = ServiceBusClient.from_connection_string(server.connection_string)
        with client, client.get_queue_sender("events") as sender, client.get_queue_receiver("events") as receiver:
            sender.send_messages(ServiceBusMessage("kept"))
            (message,) = receiver.receive_messages(1, max_wait_time=TIMEOUT_SECONDS)
            assert str(message) == "kept"
        assert server.stop() == 0


def test_amqp_over_tls_with_the_generated_certificate(tmp_path: Path) -> None:
    with (
        servicebus_server(tmp_path, queues=["events"], options=["--tls"]) as server,
        ServiceBusClient.from_connection_string(
            server.connection_string.replace(";UseDevelopmentEmulator=true", "").replace(f":{server.port}", ""),
            custom_endpoint_address=f"sb://{server.host}:{server.port}",
            connection_verify=str(server.certificate_authority),
            transport_type=TransportType.Amqp,
        ) as client,
        client.get_queue_sender("events") as sender,
        client.get_queue_receiver("events") as receiver,
    ):
        sender.send_messages(ServiceBusMessage("secret"))
        (message,) = receiver.receive_messages(1, max_wait_time=TIMEOUT_SECONDS)
        assert str(message) == "secret"
