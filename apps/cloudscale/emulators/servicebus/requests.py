"""Requests to ``$cbs`` and ``$management``: a message with an operation in, a message with a status out.

AMQP Management and Claims-Based Security are drafts of OASIS; the operations are those of "AMQP 1.0 in Service Bus:
request-response-based operations".
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from cloudscale.emulators.servicebus.address import CBS, parse_address
from cloudscale.emulators.servicebus.authorization import verify
from cloudscale.emulators.servicebus.codec import Integer, Symbol
from cloudscale.emulators.servicebus.conditions import ConditionError
from cloudscale.emulators.servicebus.links import ReplyLink
from cloudscale.emulators.servicebus.management import manage, right_for
from cloudscale.emulators.servicebus.message import Request, parse_request, response

if TYPE_CHECKING:
    from collections.abc import Callable

    from cloudscale.emulators.servicebus.broker import Broker
    from cloudscale.emulators.servicebus.channel import Channel


def answers(channel: Channel, broker: Broker, path: str) -> Callable[[bytes, int], None]:
    """Build what a request link does: answer on the reply link of the same node."""

    def receive(data: bytes, _: int) -> None:
        request = parse_request(data)
        reply = (
            _token_reply(channel, broker, request)
            if path == CBS
            else _management_reply(channel, broker, path=path, request=request)
        )
        link = _reply_link(channel, path)
        if link is not None:
            link.reply(reply)

    return receive


def _reply_link(channel: Channel, path: str) -> ReplyLink | None:
    """The reply link of a node, in the session of the request or another one of the connection."""
    for candidate in (channel, *channel.connection.channels.values()):
        for link in candidate.outgoing.values():
            if isinstance(link, ReplyLink) and link.path == path:
                return link
    return None


def _token_reply(channel: Channel, broker: Broker, request: Request) -> bytes:
    status, description = 202, "Accepted"
    try:
        # The Python SDK calls its signatures jwt, so the type says nothing.
        claim = verify(_text(request.value), *broker.keys, now=time.time())
        channel.connection.claims[str(request.properties.get("name"))] = claim
    except ConditionError as error:
        status, description = error.status, str(error)
    return response(request.message_id, {"status-code": Integer(status), "status-description": description}, None)


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _management_reply(channel: Channel, broker: Broker, *, path: str, request: Request) -> bytes:
    value: Any = None
    properties: dict[str, Any] = {}
    try:
        broker.faults.check()
        channel.connection.authorize(parse_address(path).resource, right_for(request))
        status, value, condition = manage(broker, path, request)
        description = "OK"
    except ConditionError as error:
        status, description, condition = error.status, str(error), error.condition
    if condition is not None:
        properties = {"errorCondition": Symbol(condition)}
    properties |= {"statusCode": Integer(status), "statusDescription": description}
    return response(request.message_id, properties, value)
