from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from cloudscale.local.plan import (
    BACKENDS,
    FOLLOWERS,
    INGESTION,
    WORKERS,
    Layout,
    Ports,
    RunOptions,
    Secrets,
    plan_processes,
    reachable_address,
    service_settings,
)
from cloudscale.pipeline import load
from cloudscale.settings import read_settings

if TYPE_CHECKING:
    from pathlib import Path

    from cloudscale.local.process import ProcessPlan


def layout(directory: Path, *, workers: int = 1, redis_url: str | None = None) -> Layout:
    secrets = {name: directory / name for name in ("broker_key_file", "store_key_file", "dashboard_token_file")}
    for path in secrets.values():
        path.write_text("a2V5\n")
    return Layout(
        options=RunOptions(
            pipeline_file=directory / "pipeline.yaml", data_directory=directory, workers=workers, redis_url=redis_url
        ),
        ports=Ports(
            redis=1, broker=2, management=3, store=4, workers=tuple(range(5, 5 + workers)), follower=99, outlets=98
        ),
        keys=Secrets(redis_password="password", **secrets),
        redis_program=None if redis_url else directory / "redis-server",
    )


def planned(given: Layout, **spec: Any) -> dict[str, ProcessPlan]:
    document = {
        "apiVersion": "cloudscale.io/v1alpha1",
        "kind": "EventPipeline",
        "metadata": {"name": "shop"},
        "spec": spec,
    }
    plans = plan_processes(load(document), given, settings=service_settings(given))
    return {plan.name: plan for plan in plans}


def test_the_secret_of_the_sign_in_is_where_the_environment_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert read_settings(planned(layout(tmp_path))["dashboard"].environment).dashboard_client_secret_file == ""

    monkeypatch.setenv("CLOUDSCALE_DASHBOARD_CLIENT_SECRET_FILE", "/run/secret")

    settings = read_settings(planned(layout(tmp_path))["dashboard"].environment)
    assert settings.dashboard_client_secret_file == "/run/secret"


def test_given_keys_are_where_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_settings(planned(layout(tmp_path))["ingestion"].environment).keys_file == ""

    monkeypatch.setenv("CLOUDSCALE_KEYS_FILE", "/run/keys.yaml")

    for service in ("ingestion", "dashboard"):
        assert read_settings(planned(layout(tmp_path))[service].environment).keys_file == "/run/keys.yaml"


def test_what_works_behind_the_queue_gives_way_as_far_as_it_is_told(tmp_path: Path) -> None:
    given = layout(tmp_path)
    given = replace(given, options=replace(given.options, niceness=7))

    nice = {name for name, plan in planned(given).items() if plan.niceness == 7}
    assert nice == {"worker", "store", "dashboard"}
    assert {plan.niceness for name, plan in planned(given).items() if name not in nice} == {0}


def test_a_pipeline_has_its_backends_a_worker_a_dashboard_and_ingestion_last(tmp_path: Path) -> None:
    stages = {name: plan.stage for name, plan in planned(layout(tmp_path)).items()}

    assert stages == {
        "broker": BACKENDS,
        "store": BACKENDS,
        "redis": BACKENDS,
        "worker": WORKERS,
        "dashboard": WORKERS,
        "ingestion": INGESTION,
    }


def test_the_archive_in_blob_storage_is_reached_as_the_environment_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLOUDSCALE_ARCHIVE_CONNECTION_STRING", "AccountName=a;AccountKey=a2V5")
    blob = {"connectionSecretRef": {"name": "blob", "key": "connectionString"}}
    follower = planned(layout(tmp_path), archive={"blob": blob})["follower"]
    assert follower.environment["CLOUDSCALE_ARCHIVE_CONNECTION_STRING"] == "AccountName=a;AccountKey=a2V5"


def test_what_archives_starts_before_the_workers_and_so_ends_after_them(tmp_path: Path) -> None:
    given = layout(tmp_path)
    assert "follower" not in planned(given)

    plan = planned(given, archive={})["follower"]
    assert plan.stage == FOLLOWERS
    assert BACKENDS < FOLLOWERS < WORKERS
    assert plan.niceness == given.options.niceness
    assert read_settings(plan.environment).metrics_port == 99


def test_what_sends_to_outlets_is_a_process_of_its_own_beside_the_archive(tmp_path: Path) -> None:
    given = layout(tmp_path)
    assert "outlets" not in planned(given)

    webhook = {"url": "https://crm.example/", "secretRef": {"name": "hook", "key": "secret"}}
    plans = planned(given, archive={}, outlets=[{"name": "crm", "webhook": webhook}])
    assert plans["outlets"].stage == plans["follower"].stage == FOLLOWERS
    assert plans["outlets"].command[-2:] == ("cloudscale.follower", "outlets")
    assert plans["follower"].command[-1] == "cloudscale.follower"
    assert read_settings(plans["outlets"].environment).metrics_port == 98


def test_a_paused_pipeline_takes_events_in_and_has_no_workers(tmp_path: Path) -> None:
    assert planned(layout(tmp_path), paused=True).keys() == {"broker", "store", "redis", "dashboard", "ingestion"}


def test_a_dashboard_that_is_not_wanted_does_not_run(tmp_path: Path) -> None:
    assert "dashboard" not in planned(layout(tmp_path), dashboard={"enabled": False})


def test_the_users_own_redis_takes_the_place_of_ours(tmp_path: Path) -> None:
    url = "redis://cache.example:6379/1"
    plans = planned(layout(tmp_path, redis_url=url))

    assert "redis" not in plans
    assert read_settings(plans["worker"].environment).redis_url == url


def test_workers_have_names_and_ports_of_their_own(tmp_path: Path) -> None:
    plans = planned(layout(tmp_path, workers=2))

    ports = {name: read_settings(plans[name].environment).metrics_port for name in ("worker-1", "worker-2")}
    assert ports == {"worker-1": 5, "worker-2": 6}


def test_services_are_told_the_addresses_and_keys_of_the_backends(tmp_path: Path) -> None:
    settings = read_settings(planned(layout(tmp_path))["ingestion"].environment)

    assert settings.servicebus_connection_string == (
        "Endpoint=sb://127.0.0.1:2;SharedAccessKeyName=RootManageSharedAccessKey;SharedAccessKey=a2V5;"
        "UseDevelopmentEmulator=true"
    )
    assert settings.cosmos_connection_string == "AccountEndpoint=http://127.0.0.1:4/;AccountKey=a2V5;"
    assert settings.redis_url == "redis://:password@127.0.0.1:1/0"
    assert settings.servicebus_management_url == "https://127.0.0.1:3"


def test_keys_are_not_in_the_command_lines_that_everybody_can_see(tmp_path: Path) -> None:
    for plan in planned(layout(tmp_path)).values():
        assert not any("a2V5" in part or "password" in part for part in plan.command)


@pytest.mark.parametrize(("host", "address"), [("0.0.0.0", "127.0.0.1"), ("::", "::1"), ("10.0.0.5", "10.0.0.5")])  # noqa: S104
def test_a_server_is_probed_where_it_listens(host: str, address: str) -> None:
    assert reachable_address(host) == address


def test_ingestions_figures_lie_on_no_disk_that_can_be_full(tmp_path: Path) -> None:
    alone = layout(tmp_path)
    assert "PROMETHEUS_MULTIPROC_DIR" not in planned(alone)["ingestion"].environment

    several = replace(alone, options=replace(alone.options, ingestion_processes=2))
    plan = planned(several)["ingestion"]
    folder = plan.environment["PROMETHEUS_MULTIPROC_DIR"]
    assert str(plan.scratch_directory) == folder
    assert not folder.startswith(str(tmp_path))
    elsewhere = replace(several, options=replace(several.options, data_directory=tmp_path / "other"))
    assert planned(elsewhere)["ingestion"].environment["PROMETHEUS_MULTIPROC_DIR"] != folder
