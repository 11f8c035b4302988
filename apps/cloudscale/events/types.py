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
    check_limits,
)
from cloudscale.events.schema_errors import explain_by_schema
from cloudscale.events.timestamps import without_leap_second
from cloudscale.events.unsafe_texts import find_unsafe_texts
from cloudscale.events.wrong_values import explain, kind_of
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

    def check_sent(self, event: Document) -> Common:
        """The typed view of the common fields of an event that a client sends.

        Raises:
            InvalidEventError: as of :meth:`check`, and with all that no client may send.
        """
        errors = find_unsafe_texts(event)
        try:
            check_limits(event)
        except InvalidEventError as error:
            # A schema is not asked: what it costs is bounded for events within the limits.
            others = [*errors, *self._errors_without_schema(_as_clocks_tell(event))]
            raise InvalidEventError(*error.errors, *_of_other_fields(others, error.errors)) from None
        try:
            common = self.check(event)
        except InvalidEventError as error:
            raise InvalidEventError(*error.errors, *_of_other_fields(errors, error.errors)) from None
        if errors:
            raise InvalidEventError(*errors)
        return common

    def check(self, event: Document) -> Common:
        """The typed view of an event's common fields.

        Raises:
            InvalidEventError: with every field that is wrong, or because the type is not one of the pipeline's.
        """
        event = _as_clocks_tell(event)
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
            raise InvalidEventError(*self._errors_without_schema(event))
        try:
            common = msgspec.convert(event, Common)
        except msgspec.ValidationError:
            errors = _errors_of(event, Common)
            raise InvalidEventError(*errors, *_of_other_fields(_errors_by(validator, event), errors)) from None
        if not validator.is_valid(event):
            raise InvalidEventError(*_errors_by(validator, event))
        return common

    def _errors_without_schema(self, event: Document) -> list[FieldError]:
        name = event.get("eventType")
        if isinstance(name, str) and name in BUILT_IN:
            return _errors_of(event, BUILT_IN[name])
        unknown = () if isinstance(name, str) and name in self._schemas else self._unknown(name)
        return [*unknown, *_errors_of(event, Common, skip="event_type")]

    def _unknown(self, name: object) -> tuple[FieldError]:
        if name is None:
            return (FieldError("/eventType", f"is required: {self._one_of()}"),)
        if not isinstance(name, str):
            return (FieldError("/eventType", f"must be text, not {kind_of(name)}: {self._one_of()}"),)
        if name in INTERNAL:
            return (FieldError("/eventType", f"{name} is internal to the pipeline: clients cannot send it"),)
        return (FieldError("/eventType", f"{name[:64]!r} is unknown: use {self._one_of()}"),)

    def _one_of(self) -> str:
        return f"one of {', '.join(self.names)}"


def _errors_by(validator: jsonschema_rs.Validator, event: Document) -> list[FieldError]:
    return [explain_by_schema(error) for error in islice(validator.iter_errors(event), MOST_ERRORS)]


def _as_clocks_tell(event: Document) -> Document:
    """The event, without a leap second in its time."""
    happened = event.get("createdAt")
    if type(happened) is str and happened[17:19] == "60":
        return {**event, "createdAt": without_leap_second(happened)}
    return event


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
        except msgspec.ValidationError:
            errors += explain(event[field.encode_name], field.type, pointer)
    return errors


def _of_other_fields(errors: Iterable[FieldError], said: Iterable[FieldError]) -> list[FieldError]:
    """The errors of fields of which nothing was said: what is beyond a limit breaks its own bounds as well."""
    pointers = {error.pointer for error in said}
    return [error for error in errors if error.pointer not in pointers]
