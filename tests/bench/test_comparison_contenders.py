from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from bench.benthos_program import SOURCE
from bench.comparison_contenders import PIPELINE_FILE, benthos_environment, benthos_plans, connection_parts

from cloudscale.pipeline import load_file
from cloudscale.settings import Settings

SETTINGS = Settings(
    pipeline_file="pipeline.json",
    redis_url="redis://:secret@127.0.0.1:6379/0",
    servicebus_connection_string=(
        "Endpoint=sb://127.0.0.1:5672;SharedAccessKeyName=Root;SharedAccessKey=a+b/c=;UseDevelopmentEmulator=true"
    ),
    cosmos_connection_string="AccountEndpoint=http://127.0.0.1:8081/;AccountKey=a2V5==;",
)
CONFIGURATIONS = ("ingestion", "worker")


def environment() -> dict[str, str]:
    return benthos_environment(load_file(PIPELINE_FILE), SETTINGS) | {"ADDRESS": "127.0.0.1:8080"}


def test_values_of_a_connection_string_keep_their_equals_signs() -> None:
    assert connection_parts("AccountEndpoint=http://x/;AccountKey=a2V5==;") == {
        "AccountEndpoint": "http://x/",
        "AccountKey": "a2V5==",
    }


def test_benthos_is_told_the_addresses_and_keys_of_the_backends() -> None:
    told = environment()

    assert told["BROKER_URL"] == "amqp://127.0.0.1:5672"
    assert told["BROKER_KEY"] == "a+b/c="
    assert told["STORE_ENDPOINT"] == "http://127.0.0.1:8081/"
    assert told["STORE_KEY"] == "a2V5=="


def test_benthos_uses_the_queue_and_the_container_of_the_pipeline() -> None:
    spec = load_file(PIPELINE_FILE).spec

    assert environment()["QUEUE"] == spec.queue.name
    assert (environment()["DATABASE"], environment()["CONTAINER"]) == (spec.store.database, spec.store.container)


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_every_variable_of_a_configuration_is_told(name: str) -> None:
    plans = benthos_plans(Path("benthos"), environment(), administration_ports=[1, 2])
    (plan,) = (plan for plan in plans if plan.name == name)
    asked = set(re.findall(r"\$\{([A-Z_]+)\}", (SOURCE / f"{name}.yaml").read_text()))

    assert asked
    assert asked <= plan.environment.keys()


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_secrets_are_not_in_the_command(name: str) -> None:
    plans = benthos_plans(Path("benthos"), environment(), administration_ports=[1, 2])
    (plan,) = (plan for plan in plans if plan.name == name)

    assert not set(environment().values()) & set(plan.command)
    assert plan.command == ("benthos", "--config", str(SOURCE / f"{name}.yaml"))


def test_the_worker_is_ready_before_ingestion_starts_and_each_has_its_own_administration_port() -> None:
    worker, ingestion = benthos_plans(Path("benthos"), environment(), administration_ports=[1, 2])

    assert worker.stage < ingestion.stage
    assert worker.environment["ADMINISTRATION_ADDRESS"] != ingestion.environment["ADMINISTRATION_ADDRESS"]


def test_benthos_answers_202_at_the_path_of_the_others() -> None:
    configuration: dict[str, Any] = yaml.safe_load((SOURCE / "ingestion.yaml").read_text())
    server = configuration["input"]["http_server"]

    assert server["path"] == "/api/v1/events"
    assert server["sync_response"]["status"] == "202"


def test_benthos_packs_as_many_events_into_a_message_as_the_pipeline() -> None:
    configuration: dict[str, Any] = yaml.safe_load((SOURCE / "ingestion.yaml").read_text())
    batching = configuration["output"]["broker"]["batching"]

    assert batching["count"] == load_file(PIPELINE_FILE).spec.queue.events_per_message
