"""Queue descriptions in ATOM, the XML that Service Bus's management API speaks ("Service Bus entity management").

The order of elements matters: the service's own clients, and the .NET data contract behind the API, rely on it.
"""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

import msgspec

from cloudscale.emulators.servicebus.conditions import ArgumentError
from cloudscale.emulators.servicebus.description import FOREVER_MILLISECONDS, MEGABYTE, QueueDescription, Status
from cloudscale.emulators.servicebus.stored import State

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cloudscale.emulators.servicebus.queue import Queue

CONNECT = "http://schemas.microsoft.com/netservices/2010/10/servicebus/connect"
COUNTS = "http://schemas.microsoft.com/netservices/2011/06/servicebus"
ATOM = "http://www.w3.org/2005/Atom"
FOREVER = "P10675199DT2H48M5.4775807S"
LONGEST_BODY_BYTES = 64 * 1024

_DURATION = re.compile(
    r"P(?:(?P<days>\d+)D)?(?:T(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?(?:(?P<seconds>\d+(?:\.\d+)?)S)?)?",
    re.ASCII,
)
_MILLISECONDS = {"days": 86_400_000, "hours": 3_600_000, "minutes": 60_000, "seconds": 1000}
LONGEST_MESSAGE_KILOBYTES = 1024
LONGEST_NUMBER = 18
"""Digits of a number that fits 64 bits; the interpreter refuses to print those of some thousands."""


@dataclass(frozen=True, slots=True)
class QueueChange:
    """The settings a request names, by the fields of :class:`QueueDescription`."""

    fields: dict[str, Any]

    def apply(self, description: QueueDescription) -> QueueDescription:
        """Return a description with these settings."""
        return msgspec.structs.replace(description, **self.fields)


def parse_duration(text: str) -> int:
    """Read an ISO 8601 duration of days and less, as milliseconds; the longest one is :data:`FOREVER_MILLISECONDS`.

    Raises:
        ArgumentError: the text is no duration.
    """
    match = _DURATION.fullmatch(text.strip())
    if match is None or not any(match.groups()):
        raise ArgumentError(f"{text!r} is no ISO 8601 duration such as PT1M30S")
    milliseconds = sum(float(value) * _MILLISECONDS[name] for name, value in match.groupdict().items() if value)
    return round(min(milliseconds, FOREVER_MILLISECONDS))


def format_duration(milliseconds: int) -> str:
    """Write milliseconds as an ISO 8601 duration."""
    if milliseconds >= FOREVER_MILLISECONDS:
        return FOREVER
    days, rest = divmod(milliseconds, 86_400_000)
    seconds, fraction = divmod(rest, 1000)
    text = f"{seconds}.{fraction:03d}".rstrip("0").rstrip(".") if fraction else str(seconds)
    return f"P{days}DT{text}S" if days else f"PT{text}S"


def parse_queue(body: bytes) -> QueueChange:
    """Read the settings in an entry.

    Raises:
        ArgumentError: the body is no such XML, or asks for what the emulator does not do.
    """
    if len(body) > LONGEST_BODY_BYTES or b"<!" in body:
        # The standard library's parser expands entities, so a document type is refused.
        raise ArgumentError("the body is too long or holds a document type")
    try:
        root = ET.fromstring(body)  # noqa: S314 — entities are refused above
    except (ET.ParseError, LookupError, ValueError) as error:
        # The declaration may name an encoding that the parser does not know, or knows and cannot use.
        raise ArgumentError(f"the body is no XML: {error}") from None
    described = root.find(f".//{{{CONNECT}}}QueueDescription")
    if described is None:
        raise ArgumentError("the body holds no QueueDescription: topics are not supported by this emulator")
    given = {child.tag.removeprefix(f"{{{CONNECT}}}"): (child.text or "").strip() for child in described}
    _refuse_missing(described, given)
    try:
        fields = {field: read(given[name]) for name, (field, read) in _SETTINGS.items() if given.get(name)}
    except ValueError as error:
        raise ArgumentError(f"a property of the queue is no number: {error}") from None
    return QueueChange(fields)


def _refuse_missing(described: ET.Element, given: dict[str, str]) -> None:
    """Refuse settings that change what a queue does and that the emulator would only forget."""
    for name in ("ForwardTo", "ForwardDeadLetteredMessagesTo"):
        if given.get(name):
            raise ArgumentError(f"{name} is not supported by this emulator: read from the queue itself")
    for name in ("EnablePartitioning", "EnableExpress"):
        if given.get(name, "").lower() == "true":
            raise ArgumentError(f"{name} is not supported by this emulator: leave it off")
    if described.find(f"{{{CONNECT}}}AuthorizationRules/{{{CONNECT}}}AuthorizationRule") is not None:
        raise ArgumentError("AuthorizationRules are not supported by this emulator: use the key of the namespace")
    size = given.get("MaxMessageSizeInKilobytes")
    if size and _number(size) > LONGEST_MESSAGE_KILOBYTES:
        raise ArgumentError(
            f"MaxMessageSizeInKilobytes above {LONGEST_MESSAGE_KILOBYTES} is not supported by this emulator"
        )


def render_entry(queue: Queue, base: str) -> str:
    """Write a queue with its settings and counts."""
    description = queue.description
    name = escape(description.name)
    created, updated = _moment(description.created), _moment(description.updated)
    return (
        f'<entry xmlns="{ATOM}"><id>{base}/{name}</id><title type="text">{name}</title>'
        f"<published>{created}</published><updated>{updated}</updated><author><name>cloudscale</name></author>"
        f'<link rel="self" href="{base}/{name}"/><content type="application/xml">'
        f'<QueueDescription xmlns="{CONNECT}" xmlns:i="http://www.w3.org/2001/XMLSchema-instance">'
        f"{_settings(description)}{_figures(queue)}</QueueDescription></content></entry>"
    )


def render_feed(queues: Sequence[Queue], base: str, following: str | None = None) -> str:
    """Write a page of queues; ``following`` is the query that asks for the next one."""
    entries = "".join(render_entry(queue, base) for queue in queues)
    self_link = f'<link rel="self" href="{base}/$Resources/queues"/>'
    next_link = f'<link rel="next" href="{base}/$Resources/queues?{escape(following)}"/>' if following else ""
    return (
        f'<feed xmlns="{ATOM}"><title type="text">Queues</title><id>{base}/$Resources/queues</id>'
        f"<updated>{_moment(0)}</updated>{self_link}{next_link}{entries}</feed>"
    )


def render_namespace(name: str, created: int, base: str) -> str:
    """Write what is known of the namespace; ``created`` is the time at which the broker started."""
    moment = _moment(created)
    return (
        f'<entry xmlns="{ATOM}"><id>{base}/$namespaceinfo</id><title type="text">{escape(name)}</title>'
        f"<updated>{moment}</updated><author><name>cloudscale</name></author>"
        f'<link rel="self" href="{base}/$namespaceinfo"/><content type="application/xml">'
        f'<NamespaceInfo xmlns="{CONNECT}" xmlns:i="http://www.w3.org/2001/XMLSchema-instance">'
        f"<CreatedTime>{moment}</CreatedTime><MessagingSKU>Standard</MessagingSKU>"
        f"<ModifiedTime>{moment}</ModifiedTime><Name>{escape(name)}</Name><NamespaceType>Messaging</NamespaceType>"
        "</NamespaceInfo></content></entry>"
    )


def render_error(status: int, detail: str) -> str:
    """Write an error."""
    return f"<Error><Code>{status}</Code><Detail>{escape(detail)}</Detail></Error>"


def _settings(description: QueueDescription) -> str:
    elements = [
        ("LockDuration", format_duration(description.lock_duration)),
        ("MaxSizeInMegabytes", description.max_size_bytes // MEGABYTE),
        ("RequiresDuplicateDetection", _boolean(description.requires_duplicate_detection)),
        ("RequiresSession", _boolean(description.requires_session)),
        ("DefaultMessageTimeToLive", format_duration(description.default_time_to_live)),
        ("DeadLetteringOnMessageExpiration", _boolean(description.dead_lettering_on_expiration)),
        ("DuplicateDetectionHistoryTimeWindow", format_duration(description.duplicate_detection_window)),
        ("MaxDeliveryCount", description.max_delivery_count),
        ("EnableBatchedOperations", _boolean(description.batched_operations)),
    ]
    return "".join(f"<{name}>{value}</{name}>" for name, value in elements)


def _figures(queue: Queue) -> str:
    description = queue.description
    metadata = ""
    if description.user_metadata:
        metadata = f"<UserMetadata>{escape(description.user_metadata)}</UserMetadata>"
    counts = [
        ("ActiveMessageCount", queue.contents.active),
        ("DeadLetterMessageCount", queue.contents.counts["dead"]),
        ("ScheduledMessageCount", queue.contents.counts[State.SCHEDULED]),
        ("TransferMessageCount", 0),
        ("TransferDeadLetterMessageCount", 0),
    ]
    details = "".join(f"<d2p1:{name}>{value}</d2p1:{name}>" for name, value in counts)
    return (
        f"<SizeInBytes>{queue.contents.size_bytes}</SizeInBytes><MessageCount>{len(queue.messages)}</MessageCount>"
        f"<IsAnonymousAccessible>false</IsAnonymousAccessible><Status>{description.status}</Status>"
        f"<CreatedAt>{_moment(description.created)}</CreatedAt><UpdatedAt>{_moment(description.updated)}</UpdatedAt>"
        f"<AccessedAt>{_moment(0)}</AccessedAt>{metadata}<SupportOrdering>true</SupportOrdering>"
        f'<CountDetails xmlns:d2p1="{COUNTS}">{details}</CountDetails>'
        f"<AutoDeleteOnIdle>{format_duration(description.auto_delete_on_idle)}</AutoDeleteOnIdle><EnablePartitioning>false</EnablePartitioning>"
        f"<EntityAvailabilityStatus>Available</EntityAvailabilityStatus><EnableExpress>false</EnableExpress>"
    )


def _moment(milliseconds: int) -> str:
    moment = datetime.datetime.fromtimestamp(milliseconds / 1000, datetime.UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def _number(text: str) -> int:
    if len(text) > LONGEST_NUMBER:
        raise ArgumentError(f"a number of {len(text)} digits is none that a queue can use")
    return int(text)


def _status(text: str) -> Status:
    try:
        return Status(text)
    except ValueError:
        raise ArgumentError(f"{text[:40]!r} is no status of a queue: {', '.join(Status)}") from None


def _boolean(value: bool) -> str:
    return "true" if value else "false"


_SETTINGS: dict[str, tuple[str, Any]] = {
    "LockDuration": ("lock_duration", parse_duration),
    "MaxSizeInMegabytes": ("max_size_bytes", lambda text: _number(text) * MEGABYTE),
    "RequiresDuplicateDetection": ("requires_duplicate_detection", lambda text: text.lower() == "true"),
    "RequiresSession": ("requires_session", lambda text: text.lower() == "true"),
    "DefaultMessageTimeToLive": ("default_time_to_live", parse_duration),
    "DeadLetteringOnMessageExpiration": ("dead_lettering_on_expiration", lambda text: text.lower() == "true"),
    "DuplicateDetectionHistoryTimeWindow": ("duplicate_detection_window", parse_duration),
    "MaxDeliveryCount": ("max_delivery_count", _number),
    "UserMetadata": ("user_metadata", str),
    "Status": ("status", _status),
    "AutoDeleteOnIdle": ("auto_delete_on_idle", parse_duration),
    "EnableBatchedOperations": ("batched_operations", lambda text: text.lower() == "true"),
}
