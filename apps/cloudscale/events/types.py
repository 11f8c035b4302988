"""The types of event that a pipeline takes: the built-in ones and those that its resource adds by JSON Schema."""

from __future__ import annotations

from functools import cache
from itertools import islice
from typing import TYPE_CHECKING

import msgspec

from cloudscale.errors import ConfigurationError
from cloudscale.events.checking import (
    BUILT_IN,
    EARLIEST,
    END,
    INTERNAL,
    Common,
    FieldError,
    InvalidEventError,
    escape,
)
from cloudscale.events.timestamps import without_leap_second
from cloudscale.pipeline.json_schemas import UnusableSchemaError, compile_schema

if TYPE_CHECKING:
    from collections.abc import Iterable

    import jsonschema_rs

    from cloudscale.events.checking import Document
    from cloudscale.pipeline import EventType


MOST_ERRORS = 100
"""Of one event by its schema: a client learns nothing from more, and there could be one for each subschema and item."""


class EventTypes:
    """Checks events against the types of one pipeline."""

    def __init__(self, added: Iterable[EventType] = ()) -> None:
        """Take the built-in types and ``added`` ones.

        Raises:
            ConfigurationError: an added type has a schema that cannot be used.
        """
        self._schemas: dict[str, jsonschema_rs.Validator] = {}
        for event_type in added:
            try:
                self._schemas[event_type.name] = compile_schema(event_type.schema)
            except UnusableSchemaError as error:
                raise ConfigurationError(f"the schema of event type {event_type.name!r} {error}") from None
        self.names = (*BUILT_IN, *self._schemas)

    def check(self, event: Document) -> Common:
        """The typed view of an event's common fields.

        Raises:
            InvalidEventError: with every field that is wrong, or because the type is not one of the pipeline's.
        """
        happened = event.get("createdAt")
        if type(happened) is str and happened[17:19] == "60":
            event = {**event, "createdAt": without_leap_second(happened)}
        name = event.get("eventType")
        model = BUILT_IN.get(name) if isinstance(name, str) else None
        if model is not None:
            try:
                common = msgspec.convert(event, model)
            except msgspec.ValidationError:
                raise InvalidEventError(*_errors_of(event, model)) from None
        else:
            common = self._check_added(event, name)
        created_at = common.created_at
        if created_at is not None and not EARLIEST <= created_at < END:
            wrong = f"is not between the years {EARLIEST.year} and {END.year - 1} in UTC"
            raise InvalidEventError(FieldError("/createdAt", wrong))
        return common

    def problem_of(self, event: Document) -> str | None:
        """What is wrong with an event that comes from the queue, or None.

        Raises:
            KeyError: the pipeline does not have its type.
        """
        if event["eventType"] not in BUILT_IN and event["eventType"] not in self._schemas:
            raise KeyError(event["eventType"])
        try:
            self.check(event)
        except InvalidEventError as error:
            return str(error)
        return None

    def _check_added(self, event: Document, name: object) -> Common:
        validator = self._schemas.get(name) if isinstance(name, str) else None
        if validator is None:
            raise InvalidEventError(*self._unknown(name), *_errors_of(event, Common, skip="event_type"))
        try:
            common = msgspec.convert(event, Common)
        except msgspec.ValidationError:
            raise InvalidEventError(*_errors_of(event, Common)) from None
        if not validator.is_valid(event):
            raise InvalidEventError(
                *(
                    FieldError("".join(f"/{escape(str(part))}" for part in error.instance_path), error.message[:300])
                    for error in islice(validator.iter_errors(event), MOST_ERRORS)
                )
            )
        return common

    def _unknown(self, name: object) -> tuple[FieldError]:
        if name is None:
            return (FieldError("/eventType", f"is required: one of {', '.join(self.names)}"),)
        if not isinstance(name, str):
            return (FieldError("/eventType", "must be a string"),)
        if name in INTERNAL:
            return (FieldError("/eventType", f"{name} is internal to the pipeline: clients cannot send it"),)
        return (FieldError("/eventType", f"{name[:64]!r} is unknown: use one of {', '.join(self.names)}"),)


@cache
def _fields(model: type[Common]) -> tuple[msgspec.structs.FieldInfo, ...]:
    return msgspec.structs.fields(model)


def _errors_of(event: Document, model: type[Common], *, skip: str = "") -> list[FieldError]:
    """Check field by field, because a conversion of the whole stops at the first error."""
    errors = []
    for field in _fields(model):
        if field.name == skip:
            continue
        pointer = f"/{field.encode_name}"
        if field.encode_name not in event:
            if field.required:
                errors.append(FieldError(pointer, "is required"))
            continue
        try:
            msgspec.convert(event[field.encode_name], field.type)
        except msgspec.ValidationError as error:
            message, _, path = str(error).partition(" - at `$")
            errors.append(FieldError(pointer + _as_pointer(path.rstrip("`")), _lowered(message)))
    return errors


def _as_pointer(path: str) -> str:
    """A path below a value as msgspec writes it (``.a[0]``, ``[...]``), as the rest of a JSON pointer."""
    return "".join(
        f"/{escape(part.rstrip(']'))}" for part in path.replace("[...]", "").replace("[", ".").split(".") if part
    )


def _lowered(message: str) -> str:
    return message[:1].lower() + message[1:]
