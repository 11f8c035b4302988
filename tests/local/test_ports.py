from __future__ import annotations

import socket

import pytest

from cloudscale.errors import ConfigurationError
from cloudscale.local.ports import find_free_ports, is_free, require_free


def test_free_ports_are_different_and_below_the_range_of_outgoing_connections() -> None:
    ports = find_free_ports("127.0.0.1", 20)

    assert len(set(ports)) == 20
    assert max(ports) < 32768


def test_ports_that_others_are_about_to_take_are_left_to_them() -> None:
    besides = range(20_000, 26_000)
    assert set(find_free_ports("127.0.0.1", 20, besides=besides)).isdisjoint(besides)


def test_a_port_that_somebody_listens_on_is_not_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert not is_free("127.0.0.1", server.getsockname()[1])


def test_a_busy_port_is_refused_with_its_number_and_the_option_that_changes_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(ConfigurationError, match=f"port {port} .* choose another with --port"):
            require_free("127.0.0.1", port, purpose="ingestion", option="--port")


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"192\.0\.2\.1 is not an address of this machine"):
        require_free("192.0.2.1", 8080, purpose="ingestion", option="--port")


def test_more_ports_than_there_are_free_ones_is_an_error() -> None:
    with pytest.raises(ConfigurationError, match="free TCP ports"):
        find_free_ports("127.0.0.1", 10_000)
