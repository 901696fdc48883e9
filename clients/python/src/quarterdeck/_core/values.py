"""Python's values as those of the messages."""

from __future__ import annotations

from datetime import timedelta

Seconds = float | timedelta


def duration(value: Seconds | None) -> timedelta | None:
    """A length of time; plain numbers are seconds."""
    return value if value is None or isinstance(value, timedelta) else timedelta(seconds=value)
