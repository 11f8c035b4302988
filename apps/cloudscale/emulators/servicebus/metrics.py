"""Figures of the broker in Prometheus's text format."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric, SummaryMetricFamily
from prometheus_client.registry import Collector

from cloudscale.emulators.servicebus.stored import State

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cloudscale.emulators.servicebus.broker import Broker

PREFIX = "cloudscale_servicebus_"


class BrokerCollector(Collector):
    """Reads the broker when it is asked, so that the hot path counts nothing twice."""

    def __init__(self, broker: Broker, connections: int) -> None:
        self._broker = broker
        self._connections = connections

    def collect(self) -> Iterator[Metric]:
        """Yield every figure."""
        messages = GaugeMetricFamily(PREFIX + "messages", "Messages of a queue by state", labels=["queue", "state"])
        size = GaugeMetricFamily(PREFIX + "queue_bytes", "Octets a queue holds", labels=["queue"])
        locked = GaugeMetricFamily(PREFIX + "locked_messages", "Messages a receiver holds", labels=["queue"])
        sent = CounterMetricFamily(PREFIX + "sent_messages", "Messages taken in since the start", labels=["queue"])
        completed = CounterMetricFamily(PREFIX + "completed_messages", "Messages settled for good", labels=["queue"])
        for queue in self._broker.queues.values():
            name = queue.description.name
            messages.add_metric([name, "active"], queue.contents.active)
            messages.add_metric([name, "dead_letter"], queue.contents.counts["dead"])
            messages.add_metric([name, "scheduled"], queue.contents.counts[State.SCHEDULED])
            messages.add_metric([name, "deferred"], queue.contents.counts[State.DEFERRED])
            size.add_metric([name], queue.contents.size_bytes)
            locked.add_metric([name], len(queue.locked))
            sent.add_metric([name], queue.sent)
            completed.add_metric([name], queue.completed)
        yield from (messages, size, locked, sent, completed)
        journal = self._broker.journal
        yield GaugeMetricFamily(PREFIX + "connections", "Open AMQP connections", value=self._connections)
        yield GaugeMetricFamily(PREFIX + "journal_segments", "Files of the journal", value=len(journal.segments))
        yield CounterMetricFamily(
            PREFIX + "journal_bytes", "Octets written to the journal", value=journal.bytes_written
        )
        yield SummaryMetricFamily(
            PREFIX + "fsync_seconds",
            "Time the disk took to synchronise",
            count_value=journal.syncs,
            sum_value=journal.sync_seconds,
        )


def render(broker: Broker, connections: int) -> bytes:
    """Write all figures."""
    registry = CollectorRegistry()
    registry.register(BrokerCollector(broker, connections))
    return generate_latest(registry)
