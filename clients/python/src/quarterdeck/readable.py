"""Answers as people read them: names instead of the numbers of enums, ``datetime`` and ``timedelta``, None for what is
not set.

::

    turn = readable(client.get_turn("demo", turn_id).turn)
    print(turn.state, turn.start_time, turn.error)      # COMPLETED 2026-11-30 09:00:00+00:00 None
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timezone
from types import MappingProxyType
from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

__all__ = ["Record", "readable"]


class Record:
    """The fields of a message as attributes. Can't be changed; equal to another with the same values."""

    __slots__ = ("_fields", "_name")

    _name: str
    _fields: Mapping[str, Any]

    def __init__(self, name: str, fields: Mapping[str, Any]) -> None:
        object.__setattr__(self, "_name", name)
        object.__setattr__(self, "_fields", MappingProxyType(dict(fields)))

    def __getattr__(self, name: str) -> Any:
        try:
            return self._fields[name]
        except KeyError:
            raise AttributeError(f"{self._name} has no field {name!r}: {', '.join(self._fields)}") from None

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"{self._name} can't be changed")

    def __dir__(self) -> list[str]:
        return [*self._fields]

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        """Pairs of names and values, so that ``dict(record)`` works."""
        return iter(self._fields.items())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Record) and (self._name, self._fields) == (other._name, other._fields)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        """Names what is set; the rest would hide it."""
        given = (f"{name}={value!r}" for name, value in self if value not in (None, "", 0, False, b"", (), {}))
        return f"{self._name}({', '.join(given)})"


def readable(message: Message) -> Record:
    """The message as a :class:`Record`, with all messages inside it.

    A value of an enum is its name without the prefix that all values of the enum share, such as ``"COMPLETED"``;
    None for the one that says nothing; the number of one that this package does not know.
    """
    descriptor = message.DESCRIPTOR
    return Record(descriptor.name, {field.name: _field(message, field) for field in descriptor.fields})


def _field(message: Message, field: Any) -> Any:
    value = getattr(message, field.name)
    kind = field.message_type
    if kind is not None and kind.GetOptions().map_entry:
        of = kind.fields_by_name["value"]
        return {key: _value(each, of) for key, each in value.items()}
    if isinstance(value, (str, bytes)) or not hasattr(value, "__len__"):
        if field.has_presence and not message.HasField(field.name):
            return None
        return _value(value, field)
    return tuple(_value(each, field) for each in value)


def _value(value: Any, field: Any) -> Any:
    if field.enum_type is not None:
        return _name(field.enum_type, value)
    if isinstance(value, Timestamp):
        return value.ToDatetime(timezone.utc)
    if isinstance(value, Duration):
        return value.ToTimedelta()
    if isinstance(value, Message):
        return readable(value)
    return value


def _name(enum: Any, number: int) -> str | int | None:
    if number == 0:
        return None
    known = enum.values_by_number.get(number)
    if known is None:
        return number
    prefix: str = enum.values[0].name.removesuffix("UNSPECIFIED")
    return str(known.name.removeprefix(prefix))
