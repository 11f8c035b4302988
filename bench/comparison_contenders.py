"""What is compared, each started alone on backends of its own: the bare handler, CloudScale, and Benthos.

Benthos gets the very backends that ``cloudscale run`` starts, with the queue and the container that CloudScale makes.
"""

from __future__ import annotations

import contextlib
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from bench import benthos_program
from bench.pipeline import ROOT, RunningPipeline, running
from bench.scenarios import Scenario
from cloudscale.local.directory import DataDirectory
from cloudscale.local.instance import find_instance
from cloudscale.local.plan import BACKENDS, INGESTION, LOOPBACK, WORKERS, RunOptions, plan_processes, service_settings
from cloudscale.local.ports import find_free_ports
from cloudscale.local.probes import HttpProbe
from cloudscale.local.process import ProcessPlan
from cloudscale.local.run import prepare
from cloudscale.local.supervisor import Supervisor
from cloudscale.pipeline import load_file
from cloudscale.queue.administration import QueueAdministration
from cloudscale.store.events import EventStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from cloudscale.pipeline import EventPipeline
    from cloudscale.settings import Settings

PIPELINE_FILE = ROOT / "examples" / "bench.yaml"
ANY_ANSWER = 600
BENTHOS_PROCESSES = (("worker", WORKERS), ("ingestion", INGESTION))


@dataclass(frozen=True, kw_only=True)
class Contender:
    """One that is ready for load. ``store`` is where its events end, None if they go nowhere."""

    url: str
    process_ids: Callable[[], dict[str, list[int]]]
    store: EventStore | None


@contextlib.asynccontextmanager
async def bare(directory: Path) -> AsyncIterator[Contender]:
    """The handler that only parses (:mod:`bench.bare`)."""
    (port,) = find_free_ports(LOOPBACK, 1)
    answering = HttpProbe(LOOPBACK, port, "/", below=ANY_ANSWER)
    plan = ProcessPlan(
        name="ingestion",
        command=(sys.executable, "-m", "bench.bare", str(port)),
        environment={"PYTHONPATH": str(ROOT)},
        ready=answering,
        alive=answering,
        stage=INGESTION,
    )
    with DataDirectory(directory) as data:
        async with Supervisor([plan], log_directory=data.folder("logs"), notify=print):
            yield _contender(data, port, store=None)


@contextlib.asynccontextmanager
async def cloudscale(directory: Path) -> AsyncIterator[Contender]:
    """CloudScale as ``cloudscale run`` starts it."""
    scenario = Scenario(name="comparison", title="side by side", rate=None, seconds=0)
    with running(scenario, directory) as pipeline:
        instance = find_instance(pipeline.directory, environment={})
        async with EventStore(instance.pipeline.spec.store, instance.settings) as store:
            yield Contender(url=pipeline.url, process_ids=pipeline.process_ids, store=store)


@contextlib.asynccontextmanager
async def benthos(directory: Path) -> AsyncIterator[Contender]:
    """Benthos, as one process from HTTP to the queue and another from the queue to the store."""
    pipeline = load_file(PIPELINE_FILE)
    with DataDirectory(directory) as data:
        layout = prepare(data, RunOptions(pipeline_file=PIPELINE_FILE, data_directory=data.path))
        settings = service_settings(layout)
        plans = plan_processes(pipeline, layout, settings=settings)
        backends = [plan for plan in plans if plan.stage == BACKENDS]
        logs = data.folder("logs")
        async with (
            Supervisor(backends, log_directory=logs, notify=print),
            EventStore(pipeline.spec.store, settings) as store,
        ):
            await store.ensure()
            async with QueueAdministration(pipeline.spec.queue, settings) as queue:
                await queue.ensure_queue()
            port, *administration = find_free_ports(LOOPBACK, 1 + len(BENTHOS_PROCESSES))
            environment = {**benthos_environment(pipeline, settings), "ADDRESS": f"{LOOPBACK}:{port}"}
            plans = benthos_plans(benthos_program.program(), environment, administration_ports=administration)
            async with Supervisor(plans, log_directory=logs, notify=print) as supervisor:
                yield _contender(data, port, store=store)
                for stage in reversed(supervisor.stages()):
                    await supervisor.stop(stage)


CONTENDERS: dict[str, Callable[[Path], AbstractAsyncContextManager[Contender]]] = {
    "bare": bare,
    "cloudscale": cloudscale,
    "benthos": benthos,
}


def benthos_plans(
    program: Path, environment: Mapping[str, str], *, administration_ports: Sequence[int]
) -> list[ProcessPlan]:
    """The two processes of Benthos. Their configurations are ``bench/benthos/*.yaml``; what differs is passed here."""
    return [
        ProcessPlan(
            name=name,
            command=(str(program), "--config", str(benthos_program.SOURCE / f"{name}.yaml")),
            environment={**environment, "ADMINISTRATION_ADDRESS": f"{LOOPBACK}:{port}"},
            ready=HttpProbe(LOOPBACK, port, "/ready"),
            alive=HttpProbe(LOOPBACK, port, "/ping"),
            stage=stage,
        )
        for (name, stage), port in zip(BENTHOS_PROCESSES, administration_ports, strict=True)
    ]


def benthos_environment(pipeline: EventPipeline, settings: Settings) -> dict[str, str]:
    """How the backends are reached, in the variables of ``bench/benthos/*.yaml``."""
    broker = connection_parts(settings.servicebus_connection_string)
    account = connection_parts(settings.cosmos_connection_string)
    return {
        "BROKER_URL": f"amqp://{urlsplit(broker['Endpoint']).netloc}",
        "BROKER_KEY_NAME": broker["SharedAccessKeyName"],
        "BROKER_KEY": broker["SharedAccessKey"],
        "QUEUE": pipeline.spec.queue.name,
        "REDIS_URL": settings.redis_url,
        "STORE_ENDPOINT": account["AccountEndpoint"],
        "STORE_KEY": account["AccountKey"],
        "DATABASE": pipeline.spec.store.database,
        "CONTAINER": pipeline.spec.store.container,
        "TZ": "UTC",
        # Go collects garbage whenever the heap has doubled, which for a heap this small is all the time.
        "GOGC": "400",
    }


def connection_parts(connection_string: str) -> dict[str, str]:
    """The parts of a connection string by name."""
    return dict(part.partition("=")[::2] for part in connection_string.split(";") if part)


def _contender(data: DataDirectory, port: int, *, store: EventStore | None) -> Contender:
    url = f"http://{LOOPBACK}:{port}"
    return Contender(url=url, process_ids=RunningPipeline(data.path, url).process_ids, store=store)
