"""Decoded JSON read by key: what is missing or of another shape is refused with its place, never guessed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import isfinite
from typing import Any, NoReturn

from crossmargin.errors import FailureReason, InputError

_SHOWN = 40  # characters of a wrong value that an error shows


class Fields:
    """One object of a decoded document and the place where it stands.

    Parameters
    ----------
    value
        The decoded value; anything but an object is refused.
    place
        Where it stands, as ``cases[3].market``.
    """

    def __init__(self, value: object, place: str) -> None:
        if not isinstance(value, Mapping):
            refuse("an object", value, place)
        self.value: Mapping[str, Any] = value
        self.place = place

    def __contains__(self, key: str) -> bool:
        """Return whether a key is stated."""
        return self.value.get(key) is not None

    def __iter__(self) -> Iterator[str]:
        """Yield the keys in the document's order."""
        return iter(self.value)

    def at(self, key: str) -> str:
        """Return the place of a key."""
        return f"{self.place}.{key}" if self.place else key

    def get(self, key: str) -> Any:  # noqa: ANN401 - whatever JSON holds
        """Return the value of a key that must be there."""
        if key not in self.value:
            message = f"the key {key!r} is missing; the keys here are {', '.join(self.value) or 'none'}"
            raise InputError(FailureReason.MALFORMED_INPUT, message, path=self.place)
        return self.value[key]

    def number(self, key: str, default: float | None = None) -> float:
        """Return a finite number; `default` where the key is absent."""
        if default is not None and key not in self:
            return default
        return as_number(self.get(key), self.at(key))

    def flag(self, key: str) -> bool:
        """Return true or false."""
        value = self.get(key)
        return value if isinstance(value, bool) else refuse("true or false", value, self.at(key))

    def text(self, key: str, default: str | None = None) -> str:
        """Return a text; `default` where the key is absent."""
        if default is not None and key not in self:
            return default
        value = self.get(key)
        return value if isinstance(value, str) else refuse("a text", value, self.at(key))

    def object(self, key: str) -> Fields:
        """Return the object of a key; an absent key is an empty object."""
        return Fields(self.value.get(key) or {}, self.at(key))

    def needed(self, key: str) -> Fields:
        """Return the object of a key that must be there."""
        return Fields(self.get(key), self.at(key))

    def items(self, key: str) -> list[Any]:
        """Return a list; an absent key is an empty one."""
        value = self.value.get(key)
        if value is None:
            return []
        if not isinstance(value, Sequence) or isinstance(value, str):
            refuse("a list", value, self.at(key))
        return list(value)

    def objects(self, key: str) -> list[Fields]:
        """Return a list of objects."""
        return [Fields(item, f"{self.at(key)}[{index}]") for index, item in enumerate(self.items(key))]

    def numbers(self, key: str) -> list[float]:
        """Return a list of finite numbers."""
        return [as_number(item, f"{self.at(key)}[{index}]") for index, item in enumerate(self.items(key))]


def as_number(value: object, place: str) -> float:
    """Return a finite number as float64."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        refuse("a number", value, place)
    try:
        number = float(value)
    except OverflowError:
        refuse("a finite number", value, place)
    return number if isfinite(number) else refuse("a finite number", value, place)


def refuse(expected: str, found: object, place: str) -> NoReturn:
    """Raise :class:`InputError`: what was expected there, and what was found."""
    shown = repr(found)
    shown = shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}..."
    raise InputError(FailureReason.MALFORMED_INPUT, f"expected {expected}, found {shown}", path=place)
