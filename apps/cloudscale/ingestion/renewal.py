"""Ingestion behind TLS: its main process watches the certificate and replaces the workers one by one when it changes.

Granian reads a certificate when a worker process starts and never again. All workers accept connections from one socket
here, which the main process keeps, so that a connection that comes while one is replaced waits for another. The old
worker first gives the socket up and asks its clients to come again (``Connection: close``), and ends some time later.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import structlog
from granian._granian import ListenerSpec
from granian.constants import SSLProtocols

from cloudscale.errors import ConfigurationError
from cloudscale.ingestion.giving_way import GIVE_WAY_SIGNAL
from cloudscale.ingestion.main_process import MainProcess

if TYPE_CHECKING:
    from collections.abc import Callable

    from cloudscale.certificate import Certificate, CertificateFolder

log = structlog.get_logger(__name__)

LOOK_SECONDS = 5.0
"""Between two looks at the certificate's files."""

START_SECONDS = 10.0
"""For a new worker to take connections, before the old one stops to."""

FAREWELL_SECONDS = 3.0
"""For the clients of an old worker to hear that they should connect again, and for handshakes to end."""

PAUSE_STEP_SECONDS = 0.1


class _LookingEvent(threading.Event):
    """Granian's main loop waits for this; while it does, ``look`` is called every few seconds."""

    def __init__(self, look: Callable[[], None]) -> None:
        super().__init__()
        self._look = look

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is set, for however long ``timeout`` says."""
        if timeout is not None:
            return super().wait(timeout)
        while not super().wait(LOOK_SECONDS):
            self._look()
        return True


class RenewingProcess(MainProcess):
    """The main process that serves with ``shown``, and later with what replaces it in ``folder``."""

    def __init__(self, folder: CertificateFolder, shown: Certificate, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, ssl_cert=shown.certificate, ssl_key=shown.key, **options)
        self._folder = folder
        self._seen = shown.digest
        self.main_loop_interrupt = _LookingEvent(self._look)

    def _init_shared_socket(self) -> None:
        self._ssp = None
        self._shd = ListenerSpec(self.bind_addr, self.bind_port, self.backlog).build()
        self._sfd = self._shd.get_fd()
        self._sso = socket.socket(fileno=self._sfd)
        self._sso.set_inheritable(True)

    def _look(self) -> None:
        """Have the workers replaced if there is another certificate that can be used."""
        found = self._folder.digest()
        if found in ("", self._seen):
            return
        self._seen = found
        try:
            new = self._folder.read()
        except ConfigurationError as error:
            log.error("a changed certificate is not used, the one before stays", error=str(error))  # noqa: TRY400
            return
        log.info("the certificate has changed: workers are replaced", expires=new.expires.isoformat())
        self.build_ssl_context(new.certificate, new.key, None, SSLProtocols.tls12, None, [], False)  # noqa: FBT003
        self.reload_signal = True
        self.main_loop_interrupt.set()

    def _respawn_workers(self, workers: Any, spawn_target: Any, target_loader: Any, delay: float = 0) -> None:
        for index in workers:
            old = self.wrks[index]
            if not old.is_alive():
                super()._respawn_workers([index], spawn_target, target_loader, delay=delay)
                continue
            new = self._spawn_worker(idx=index, target=spawn_target, callback_loader=target_loader)
            new.start()
            self.wrks[index] = new
            self.respawned_wrks[index] = time.monotonic()
            self._pause(START_SECONDS)
            old.interrupt_by_parent = True
            os.kill(old.inner.pid, GIVE_WAY_SIGNAL)
            self._pause(FAREWELL_SECONDS)
            old.terminate()
            old.join(self.workers_kill_timeout)
            if old.is_alive():
                old.kill()
                old.join()

    def _pause(self, seconds: float) -> None:
        """Wait, but not longer than until the process is told to end."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and not self.interrupt_signal:
            time.sleep(PAUSE_STEP_SECONDS)
