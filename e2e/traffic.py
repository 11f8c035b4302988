"""A client that does what the API asks of clients: it sends an event again, with the same id, until it is accepted.

Each event goes with the key of its tenant.
"""

from __future__ import annotations

import http.client
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Self

from e2e.cluster import wait_until
from e2e.keys import KEYS
from e2e.purchases import page_views

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

REQUEST_SECONDS = 10
GIVE_UP_SECONDS = 60.0
BATCH_EVENTS = 500
CLIENTS = 8
ACCEPTED = http.client.ACCEPTED
DUPLICATE = http.client.CONFLICT
BUSY = (http.client.SERVICE_UNAVAILABLE, http.client.TOO_MANY_REQUESTS)


def send(
    address: str,
    event: dict[str, Any],
    *,
    give_up_after_seconds: float = GIVE_UP_SECONDS,
    keys: Mapping[str, str] = KEYS,
) -> str:
    """Send one event until it is accepted; its id. ``keys`` are by tenant; a tenant without one sends without.

    A 409 after a lost answer says that the first try was accepted.

    Raises:
        AssertionError: the event was refused, or nobody took it in time.
    """
    deadline = time.monotonic() + give_up_after_seconds
    while True:
        try:
            status, body = _post(address, "/api/events", event, keys.get(event["tenantId"]))
        except (OSError, http.client.HTTPException) as error:
            status, body = 0, repr(error)
        if status in (ACCEPTED, DUPLICATE):
            event_id: str = event["eventId"]
            return event_id
        assert status == 0 or status in BUSY, f"{event['eventId']} was refused: {status} {body}"
        assert time.monotonic() < deadline, f"nobody took {event['eventId']}: {status} {body}"
        time.sleep(0.2)


def send_all(address: str, events: list[dict[str, Any]]) -> list[str]:
    """Send events one by one, from several clients at once; their ids."""
    with ThreadPoolExecutor(CLIENTS) as clients:
        return list(clients.map(lambda event: send(address, event), events))


def send_batches(address: str, events: list[dict[str, Any]]) -> list[str]:
    """Send events through the batch endpoint; their ids.

    Raises:
        AssertionError: not every event of a batch was accepted.
    """
    for start in range(0, len(events), BATCH_EVENTS):
        deadline = time.monotonic() + REQUEST_SECONDS * 6
        while True:
            batch = events[start : start + BATCH_EVENTS]
            status, body = _post(address, "/api/events/batch", batch, KEYS[batch[0]["tenantId"]])
            if status not in BUSY or time.monotonic() > deadline:
                break
            time.sleep(0.5)
        assert status == ACCEPTED, f"a batch was not accepted as a whole: {status} {body[:500]}"
    return [event["eventId"] for event in events]


def _post(address: str, path: str, content: Any, key: str | None) -> tuple[int, str]:
    headers = {"Content-Type": "application/json"} | ({} if key is None else {"Authorization": f"Bearer {key}"})
    connection = http.client.HTTPConnection(address, timeout=REQUEST_SECONDS)
    try:
        connection.request("POST", path, json.dumps(content), headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


class Traffic:
    """Events that keep coming while something else happens.

    ``accepted`` holds the ids that were answered with 202, complete once the block ends.
    """

    def __init__(
        self,
        address: str,
        *,
        prefix: str,
        most_events: int = 20_000,
        give_up_after_seconds: float = GIVE_UP_SECONDS,
        keys: Mapping[str, str] = KEYS,
    ) -> None:
        self.accepted: list[str] = []
        self._address = address
        self._give_up_after_seconds = give_up_after_seconds
        self._keys = keys
        self._events = iter(page_views(most_events, prefix=prefix))
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._clients = ThreadPoolExecutor(CLIENTS)

    def __enter__(self) -> Self:
        self._running = [self._clients.submit(self._send) for _ in range(CLIENTS)]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._clients.shutdown()
        if error is None:
            for client in self._running:
                client.result()

    def wait_accepted(self, count: int) -> None:
        """Wait until so many more events are accepted."""
        before = len(self.accepted)
        wait_until(f"{count} events are accepted", lambda: len(self.accepted) >= before + count, seconds=120)

    def _send(self) -> None:
        while not self._stop.is_set():
            with self._lock:
                event = next(self._events)
            accepted = send(self._address, event, give_up_after_seconds=self._give_up_after_seconds, keys=self._keys)
            with self._lock:
                self.accepted.append(accepted)
            # About 20 events a second and client: traffic, not a load test.
            self._stop.wait(0.05)
