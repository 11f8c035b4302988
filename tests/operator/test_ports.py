"""Which ports addresses name."""

from __future__ import annotations

import pytest

from cloudscale_operator.ports import named_ports


@pytest.mark.parametrize(
    ("text", "ports"),
    [
        ("redis://:secret@cache:7000/0?health_check_interval=5", {7000}),
        ("rediss://cache", {6379}),
        ("AccountEndpoint=https://cosmos:9000/;AccountKey=YQ==;", {9000}),
        ("AccountEndpoint=https://cosmos.documents.azure.com/;AccountKey=YQ==;", {443}),
        ("Endpoint=sb://bus.servicebus.windows.net/;SharedAccessKeyName=a;SharedAccessKey=b=", {5671}),
        ("Endpoint=sb://bus:5673;SharedAccessKeyName=a;SharedAccessKey=b=;UseDevelopmentEmulator=true", {5673}),
        ("InstrumentationKey=0;IngestionEndpoint=https://a.example:8443/;LiveEndpoint=http://b.example/", {8443, 80}),
        ("http://collector", {80}),
        ("redis://:key/with-a-slash@cache:6379", set()),
        ("no address at all", set()),
    ],
)
def test_an_address_names_its_port_or_has_its_schemes(text: str, ports: set[int]) -> None:
    assert named_ports(text) == ports
