"""Which processes a pipeline on one machine consists of, and the settings of each: pure functions of the resource."""

from __future__ import annotations

import hashlib
import ipaddress
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from cloudscale.local.probes import HttpProbe, RedisProbe, TcpProbe
from cloudscale.local.process import ProcessPlan
from cloudscale.settings import Settings, as_environment, variable_name

if TYPE_CHECKING:
    from cloudscale.pipeline import EventPipeline

LOOPBACK = "127.0.0.1"
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 (a folder of its own in there)
BACKENDS, FOLLOWERS, WORKERS, INGESTION = range(4)
"""Stages of the start. Ingestion starts last and stops first, so that workers process all that it accepts, and what
follows the store sees all that they have stored."""

NICENESS_BEHIND_THE_QUEUE = 15
"""Niceness of what works behind the queue, a few percent of the others' share when all are busy: an event that comes in
has somebody waiting for its answer, and what the workers cannot do now waits safely in the queue. They stop giving way
when events wait for long: see :mod:`cloudscale.local.priority`."""


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """What the user chose on the command line."""

    pipeline_file: Path
    data_directory: Path
    host: str = LOOPBACK
    port: int = 8080
    dashboard_port: int = 8081
    ingestion_processes: int = 1
    workers: int = 1
    redis_url: str | None = None
    drain_seconds: float = 30.0
    open_to_anybody: bool = False
    """Whether events need no key although other machines may reach the address."""
    niceness: int = NICENESS_BEHIND_THE_QUEUE
    """Of workers, follower, store and dashboard."""


@dataclass(frozen=True, kw_only=True)
class Ports:
    """Ports of the processes that only this machine talks to."""

    redis: int
    broker: int
    management: int
    store: int
    workers: tuple[int, ...]
    follower: int
    outlets: int


@dataclass(frozen=True, kw_only=True)
class Secrets:
    """Keys of one data directory, made on its first start."""

    redis_password: str
    broker_key_file: Path
    store_key_file: Path
    dashboard_token_file: Path


@dataclass(frozen=True, kw_only=True)
class Layout:
    """All that one run was given: the choices of its user, and what was found or made for it."""

    options: RunOptions
    ports: Ports
    keys: Secrets
    redis_program: Path | None
    """None when the user named a Redis of their own."""

    def folder(self, name: str) -> Path:
        """The folder of one process in the data directory."""
        return self.options.data_directory / name

    def shared_memory_folder(self) -> Path:
        """A folder that no disk holds, where this machine has room for one; it has nothing of what is to be kept."""
        if not SHARED_MEMORY.is_dir():
            return self.folder("metrics")
        digest = hashlib.sha256(str(self.options.data_directory).encode()).hexdigest()[:16]
        return SHARED_MEMORY / f"cloudscale-{os.getuid()}-{digest}"


def service_settings(layout: Layout) -> Settings:
    """The settings of ingestion; those of workers and dashboard differ in their ports only."""
    options, ports, keys = layout.options, layout.ports, layout.keys
    broker_key = keys.broker_key_file.read_text().strip()
    store_key = keys.store_key_file.read_text().strip()
    return Settings(
        pipeline_file=str(options.data_directory / "pipeline.json"),
        redis_url=options.redis_url or f"redis://:{keys.redis_password}@{LOOPBACK}:{ports.redis}/0",
        servicebus_connection_string=(
            f"Endpoint=sb://{LOOPBACK}:{ports.broker};SharedAccessKeyName=RootManageSharedAccessKey;"
            f"SharedAccessKey={broker_key};UseDevelopmentEmulator=true"
        ),
        servicebus_management_url=f"https://{LOOPBACK}:{ports.management}",
        cosmos_connection_string=f"AccountEndpoint=http://{LOOPBACK}:{ports.store}/;AccountKey={store_key};",
        certificate_authority_file=str(options.data_directory / "broker" / "tls" / "ca.pem"),
        host=options.host,
        port=options.port,
        processes=options.ingestion_processes,
        log_format="console",
        dashboard_token_file=str(keys.dashboard_token_file),
        # Not of this directory's making: what the resource finds in Secrets in a cluster.
        dashboard_client_secret_file=os.environ.get(variable_name("dashboard_client_secret_file"), ""),
        keys_file=os.environ.get(variable_name("keys_file"), ""),
        archive_connection_string=os.environ.get(variable_name("archive_connection_string"), ""),
        access="Open" if options.open_to_anybody or _is_loopback(options.host) else "Required",
    )


def plan_processes(pipeline: EventPipeline, layout: Layout, *, settings: Settings) -> list[ProcessPlan]:
    """The processes of ``pipeline`` on this machine, ``settings`` being those of :func:`service_settings`."""
    plans = [_broker(layout), _store(layout)]
    if layout.redis_program is not None:
        plans.append(_redis(layout, layout.redis_program))
    if pipeline.spec.archive is not None:
        plans.append(_follower("follower", layout, settings, port=layout.ports.follower))
    if pipeline.spec.outlets:
        plans.append(_follower("outlets", layout, settings, port=layout.ports.outlets))
    if not pipeline.spec.paused:
        ports = layout.ports.workers
        names = ["worker"] if len(ports) == 1 else [f"worker-{number + 1}" for number in range(len(ports))]
        plans += [_worker(name, port, layout, settings=settings) for name, port in zip(names, ports, strict=True)]
    if pipeline.spec.dashboard.enabled:
        plans.append(_dashboard(layout, settings))
    plans.append(_ingestion(layout, settings))
    return plans


def _module(name: str, *arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", f"cloudscale.{name}", *arguments)


def _broker(layout: Layout) -> ProcessPlan:
    ports = layout.ports
    listening = TcpProbe(LOOPBACK, (ports.broker, ports.management))
    return ProcessPlan(
        name="broker",
        command=_module(
            "emulators.servicebus",
            *("--data-dir", str(layout.folder("broker"))),
            *("--port", str(ports.broker), "--management-port", str(ports.management)),
            *("--shared-access-key-file", str(layout.keys.broker_key_file)),
        ),
        ready=listening,
        alive=listening,
        stage=BACKENDS,
    )


def _store(layout: Layout) -> ProcessPlan:
    return ProcessPlan(
        name="store",
        command=_module(
            "emulators.cosmos",
            *("--data-dir", str(layout.folder("store"))),
            *("--port", str(layout.ports.store)),
            *("--account-key-file", str(layout.keys.store_key_file)),
        ),
        # Both write: a store that reads and answers may still have lost the way back from a failed commit.
        ready=HttpProbe(LOOPBACK, layout.ports.store, "/ready"),
        alive=HttpProbe(LOOPBACK, layout.ports.store, "/health"),
        stage=BACKENDS,
        niceness=layout.options.niceness,
    )


def _redis(layout: Layout, program: Path) -> ProcessPlan:
    pong = RedisProbe(LOOPBACK, layout.ports.redis, layout.keys.redis_password)
    return ProcessPlan(
        name="redis",
        command=(str(program), str(layout.folder("redis") / "redis.conf")),
        ready=pong,
        alive=pong,
        stage=BACKENDS,
    )


def _follower(name: str, layout: Layout, settings: Settings, *, port: int) -> ProcessPlan:
    return ProcessPlan(
        name=name,
        command=_module("follower", *([] if name == "follower" else [name])),
        environment=as_environment(msgspec.structs.replace(settings, host=LOOPBACK, metrics_port=port)),
        ready=HttpProbe(LOOPBACK, port, "/ready"),
        alive=HttpProbe(LOOPBACK, port, "/health"),
        stage=FOLLOWERS,
        niceness=layout.options.niceness,
    )


def _worker(name: str, port: int, layout: Layout, *, settings: Settings) -> ProcessPlan:
    told = msgspec.structs.replace(settings, host=LOOPBACK, metrics_port=port)
    return ProcessPlan(
        name=name,
        command=_module("worker"),
        environment=as_environment(told),
        ready=HttpProbe(LOOPBACK, port, "/ready"),
        alive=HttpProbe(LOOPBACK, port, "/health"),
        stage=WORKERS,
        niceness=layout.options.niceness,
    )


def _dashboard(layout: Layout, settings: Settings) -> ProcessPlan:
    options = layout.options
    address = reachable_address(options.host)
    return ProcessPlan(
        name="dashboard",
        command=_module("dashboard"),
        environment=as_environment(msgspec.structs.replace(settings, port=options.dashboard_port)),
        ready=HttpProbe(address, options.dashboard_port, "/health"),
        alive=HttpProbe(address, options.dashboard_port, "/health"),
        stage=WORKERS,
        niceness=layout.options.niceness,
    )


def _ingestion(layout: Layout, settings: Settings) -> ProcessPlan:
    options = layout.options
    # One process keeps its figures in its memory. Several share files, and a mapped file that finds no room on its disk
    # ends the process that writes to it.
    metrics = layout.shared_memory_folder() if options.ingestion_processes > 1 else None
    shared = {} if metrics is None else {"PROMETHEUS_MULTIPROC_DIR": str(metrics)}
    address = reachable_address(options.host)
    return ProcessPlan(
        name="ingestion",
        command=_module("ingestion"),
        environment={**as_environment(settings), **shared},
        ready=HttpProbe(address, options.port, "/ready"),
        alive=HttpProbe(address, options.port, "/health"),
        stage=INGESTION,
        scratch_directory=metrics,
    )


def _is_loopback(host: str) -> bool:
    """Whether a server on ``host`` is reached from this machine only."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def reachable_address(host: str) -> str:
    """An address that this machine reaches a server by that listens on ``host``."""
    return {"0.0.0.0": LOOPBACK, "::": "::1", "": LOOPBACK}.get(host, host)  # noqa: S104 (compared, not bound)
