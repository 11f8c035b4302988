"""``cloudscale run``: a whole pipeline on this machine, from the resource to a clean stop."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import os
import re
import secrets
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from cloudscale.archive.engine import require_engine
from cloudscale.archive.location import require_connection
from cloudscale.cache.connection import open_redis
from cloudscale.cache.keys import keys_of
from cloudscale.errors import ConfigurationError
from cloudscale.local.directory import DataDirectory, RunRecord
from cloudscale.local.plan import (
    BACKENDS,
    INGESTION,
    LOOPBACK,
    Layout,
    Ports,
    RunOptions,
    Secrets,
    plan_processes,
    reachable_address,
    service_settings,
)
from cloudscale.local.ports import find_free_ports, require_free
from cloudscale.local.priority import Priorities, PriorityPolicy, initial_niceness
from cloudscale.local.readings import Readings, describe_totals
from cloudscale.local.redis_server import configuration, find_program
from cloudscale.local.supervisor import Supervisor
from cloudscale.local.watchdog import watchdog
from cloudscale.outlets.given_secrets import read_secrets
from cloudscale.pipeline import EventPipeline, as_document, load_file
from cloudscale.private_files import write_private
from cloudscale.settings import variable_name
from cloudscale.tasks import cancel_and_wait, start_task

if TYPE_CHECKING:
    from collections.abc import Callable

    from cloudscale.local.display import Display
    from cloudscale.settings import Settings

_DRAIN_INTERVAL_SECONDS = 0.2
_STANDSTILL_SECONDS = 10.0
"""Without an event that ends for so long nobody waits any more: a store that is slow takes seconds for a batch."""

NEEDS_KEYS = "access     events need a key: `cloudscale tenants create TENANT`, then `cloudscale keys create`"

_TOKEN = re.compile(r"[\w-]+")
"""One token and nothing else; a file that its owner has changed may hold a list."""


def run(options: RunOptions, display: Display) -> None:
    """Run the pipeline until SIGINT or SIGTERM, then drain and stop it.

    Raises:
        ConfigurationError: the resource, the directory or a port cannot be used.
        BackendUnavailableError: a process did not start.
    """
    pipeline = load_file(options.pipeline_file)
    if pipeline.spec.archive is not None:
        require_engine()
        require_connection(pipeline.spec.archive, os.environ.get(variable_name("archive_connection_string"), ""))
    read_secrets(pipeline.spec.outlets, os.environ)
    with DataDirectory(options.data_directory) as directory:
        # The next run in this directory waits until the processes of a killed one have ended.
        watchdog().keep(directory.lock)
        _require_same_pipeline(directory, pipeline)
        require_free(options.host, options.port, purpose="ingestion", option="--port")
        if pipeline.spec.dashboard.enabled:
            if options.port == options.dashboard_port:
                raise ConfigurationError(
                    f"--port and --dashboard-port are both {options.port}: give one of them another number"
                )
            require_free(options.host, options.dashboard_port, purpose="the dashboard", option="--dashboard-port")
        options = dataclasses.replace(
            options, data_directory=directory.path, niceness=initial_niceness(options.niceness)
        )
        try:
            layout = prepare(directory, options)
            asyncio.run(_run(pipeline, layout, directory=directory, display=display))
        except OSError as error:
            if error.filename is None or not Path(error.filename).is_relative_to(directory.path):
                raise
            raise ConfigurationError(
                f"cannot write {error.filename} ({error.strerror}): make room, give the right to write there, or "
                "choose another --data-dir"
            ) from error


def prepare(directory: DataDirectory, options: RunOptions) -> Layout:
    """Choose ports, and make the keys and files that the processes expect to find in the directory."""
    redis, broker, management, store, follower, outlets, *workers = find_free_ports(
        LOOPBACK, 6 + options.workers, besides=(options.port, options.dashboard_port)
    )
    ports = Ports(
        redis=redis,
        broker=broker,
        management=management,
        store=store,
        workers=tuple(workers),
        follower=follower,
        outlets=outlets,
    )
    keys = Secrets(
        redis_password=directory.secret("redis", make=lambda: secrets.token_urlsafe(32)).read_text(),
        broker_key_file=directory.secret("broker", make=lambda: secrets.token_urlsafe(32)),
        store_key_file=directory.secret("store", make=_account_key),
        dashboard_token_file=directory.secret("dashboard-token", make=lambda: f"cs-{secrets.token_hex(16)}"),
    )
    program = None
    if options.redis_url is None:
        program = find_program()
        folder = directory.folder("redis")
        content = configuration(port=ports.redis, password=keys.redis_password, directory=folder)
        write_private(folder / "redis.conf", content.encode())
    return Layout(options=options, ports=ports, keys=keys, redis_program=program)


async def _run(pipeline: EventPipeline, layout: Layout, *, directory: DataDirectory, display: Display) -> None:
    settings = service_settings(layout)
    plans = plan_processes(pipeline, layout, settings=settings)
    # The services read a copy, so that editing the file cannot make a restarted process differ from the others.
    write_private(directory.path / "pipeline.json", msgspec.json.format(msgspec.json.encode(as_document(pipeline))))
    supervisor = Supervisor(plans, log_directory=directory.folder("logs"), notify=display.notify)
    readings = Readings(pipeline, redis_url=settings.redis_url)
    asked_to_stop = _on_signals(supervisor, notify=display.notify)
    with display:
        display.notify(f"starting pipeline {pipeline.metadata.name} in {directory.path}")
        try:
            async with readings:
                showing = start_task(_show(supervisor, readings, display), name="status display")
                yielding = start_task(_yield(supervisor, pipeline, settings, display), name="priority")
                try:
                    async with supervisor:
                        record = _record(pipeline, layout, settings)
                        directory.write_record(record)
                        _show_addresses(record, directory, display)
                        if (pipeline.spec.access.mode or settings.access) == "Required":
                            display.notify(NEEDS_KEYS)
                        await _wait(asked_to_stop, supervisor)
                        await _stop(supervisor, readings, display, drain_seconds=layout.options.drain_seconds)
                finally:
                    await cancel_and_wait(showing, yielding)
        except asyncio.CancelledError:
            if not asked_to_stop.is_set():
                raise
        display.notify("stopped")


def _on_signals(supervisor: Supervisor, *, notify: Callable[[str], None]) -> asyncio.Event:
    """An event that the first SIGINT or SIGTERM sets; the second makes everything end at once.

    Before everything has started there is nothing to drain, so the first one cancels the start.
    """
    asked = asyncio.Event()
    starting = asyncio.current_task()

    def stop() -> None:
        if asked.is_set():
            notify("ending everything now: what was acknowledged is on disk")
            supervisor.hurry()
        else:
            asked.set()
            if not supervisor.started and starting is not None:
                starting.cancel()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    return asked


async def _show(supervisor: Supervisor, readings: Readings, display: Display) -> None:
    while True:
        display.update(supervisor.processes, await readings.take())
        await asyncio.sleep(display.interval_seconds)


async def _yield(supervisor: Supervisor, pipeline: EventPipeline, settings: Settings, display: Display) -> None:
    """Run workers and store at a lower priority than requests, except while events wait for long."""
    async with open_redis(settings.redis_url, connections=1) as redis:
        await PriorityPolicy(
            redis, keys_of(pipeline).inflight, apply=Priorities(supervisor.processes).apply, notify=display.notify
        ).watch()


async def _wait(asked_to_stop: asyncio.Event, supervisor: Supervisor) -> None:
    """Wait until the user wants to stop, or a process cannot be kept running."""
    asked = asyncio.create_task(asked_to_stop.wait())
    failed = asyncio.create_task(supervisor.wait())
    try:
        await asyncio.wait((asked, failed), return_when=asyncio.FIRST_COMPLETED)
        if failed.done():
            await failed
    finally:
        asked.cancel()
        failed.cancel()


async def _stop(supervisor: Supervisor, readings: Readings, display: Display, *, drain_seconds: float) -> None:
    display.notify("stopping: ingestion first, then what is queued is worked off (Ctrl-C again ends at once)")
    for stage in reversed(supervisor.stages()):
        if stage[0].plan.stage == BACKENDS and (last := await readings.take()) is not None:
            if last.in_flight:
                text = f"{last.in_flight:,} events are still queued: they are kept, and worked off after the next start"
                display.notify(text)
            display.notify("  ".join(f"{name} {value}" for name, value in describe_totals(last).items()))
        await supervisor.stop(stage)
        if stage[0].plan.stage == INGESTION:
            await _drain(supervisor, readings, seconds=drain_seconds)


async def _drain(supervisor: Supervisor, readings: Readings, *, seconds: float) -> None:
    """Wait until the workers have worked off what is queued, make no progress any more, or the time is over."""
    deadline = time.monotonic() + seconds
    least, least_at = None, time.monotonic()
    while not supervisor.hurried and (now := time.monotonic()) < deadline:
        reading = await readings.take()
        if reading is None or reading.in_flight == 0:
            return
        if least is None or reading.in_flight < least:
            least, least_at = reading.in_flight, now
        if now - least_at >= _STANDSTILL_SECONDS:
            return
        await asyncio.sleep(_DRAIN_INTERVAL_SECONDS)


def _record(pipeline: EventPipeline, layout: Layout, settings: Settings) -> RunRecord:
    options = layout.options
    address = reachable_address(options.host)
    shown = f"[{address}]" if ":" in address else address
    return RunRecord(
        pid=os.getpid(),
        ingestion_url=f"http://{shown}:{options.port}",
        dashboard_url=f"http://{shown}:{options.dashboard_port}" if pipeline.spec.dashboard.enabled else None,
        settings=settings,
    )


def _show_addresses(record: RunRecord, directory: DataDirectory, display: Display) -> None:
    display.notify(f"events     {record.ingestion_url}/api/events (docs: {record.ingestion_url}/docs)")
    if record.dashboard_url is not None:
        token_file = Path(record.settings.dashboard_token_file)
        display.notify(f"dashboard  {dashboard_link(record.dashboard_url, token_file, private=display.is_private)}")
    display.notify(f"data       {directory.path} (logs: {directory.path / 'logs'})")
    display.notify("ready: Ctrl-C drains and stops")


def dashboard_link(url: str, token_file: Path, *, private: bool) -> str:
    """The dashboard's address: a link that signs in, or the address and the token's file where others may read it."""
    token = token_file.read_text().strip()
    if private and _TOKEN.fullmatch(token):
        # What is behind the # stays in the browser: no server and no proxy sees it.
        return f"{url}/sign-in#token={token}"
    return f"{url} (the token to sign in is in {token_file})"


def _require_same_pipeline(directory: DataDirectory, pipeline: EventPipeline) -> None:
    """Refuse a change of what cannot change in data that is there already.

    Raises:
        ConfigurationError: names the field, what it was and what it should become.
    """
    path = directory.path / "pipeline.json"
    if not path.exists():
        return
    before, now = _identity(load_file(path)), _identity(pipeline)
    for field, value in before.items():
        if now[field] != value:
            raise ConfigurationError(
                f"{field} is immutable: the data in {directory.path} was made with {value!r}, the file says "
                f"{now[field]!r}. Set it back, or choose another --data-dir"
            )


def _identity(pipeline: EventPipeline) -> dict[str, str | int]:
    return {
        "metadata.namespace": pipeline.metadata.namespace,
        "metadata.name": pipeline.metadata.name,
        "spec.queue.name": pipeline.spec.queue.name,
        "spec.store.database": pipeline.spec.store.database,
        "spec.store.container": pipeline.spec.store.container,
        "spec.store.partitionBuckets": pipeline.spec.store.partition_buckets,
    }


def _account_key() -> str:
    return base64.b64encode(secrets.token_bytes(64)).decode()
