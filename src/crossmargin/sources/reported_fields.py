"""Reading a venue's answer by key: what is not known is passed over, a value of another type is refused by place."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from math import isfinite
from typing import Any, Final, TypeAlias

from crossmargin.sources.messages import refuse

Reported: TypeAlias = dict[str, Any]

_THOUSANDS: Final = re.compile(r"[+-]?\d{1,3}(,\d{3})+(\.\d+)?")
_SHOWN: Final = 60  # characters of a wrong value that an error shows


class Answer:
    """One object of a venue's answer and the place where it stands.

    Parameters
    ----------
    value
        The decoded value; anything but an object is refused.
    place
        The file and the keys on the way, as ``answer.json: $.data[0]``.
    """

    def __init__(self, value: object, place: str) -> None:
        if not isinstance(value, Mapping):
            refuse(f"expected an object {{...}}, found {_shown(value)}", place)
        self.value: Mapping[str, Any] = value
        self.place = place

    def __contains__(self, key: str) -> bool:
        """Return whether a key holds anything: venues send null or an empty text for what does not apply."""
        return self.value.get(key) not in (None, "")

    def at(self, key: str) -> str:
        """Return the place of a key."""
        return f"{self.place}.{key}" if key.isidentifier() else f'{self.place}["{key}"]'

    def number(self, *keys: str) -> float | None:
        """Return the first of the keys that holds a number or a number as text; None where none holds anything."""
        key = next((key for key in keys if key in self), None)
        return None if key is None else as_number(self.value[key], self.at(key))

    def text(self, key: str) -> str | None:
        """Return a text; None where the key holds nothing."""
        if key not in self:
            return None
        value = self.value[key]
        return value if isinstance(value, str) else refuse(f"expected a text, found {_shown(value)}", self.at(key))

    def needed(self, key: str) -> str:
        """Return a text that must be there."""
        return self.text(key) or refuse(f"the key {key!r} is missing; add it", self.place)

    def flag(self, key: str) -> bool | None:
        """Return true or false; None where the key holds nothing."""
        if key not in self:
            return None
        value = self.value[key]
        return (
            value if isinstance(value, bool) else refuse(f"expected true or false, found {_shown(value)}", self.at(key))
        )

    def inner(self, key: str) -> Answer:
        """Return the object under a key; an empty one where the key holds nothing."""
        return Answer(self.value[key] if key in self else {}, self.at(key))

    def rows(self, key: str) -> list[Answer]:
        """Return the objects of the list under a key; none where the key holds nothing."""
        return as_rows(self.value[key], self.at(key)) if key in self else []

    def numbers(self, key: str) -> list[float]:
        """Return the numbers of the list under a key; none where the key holds nothing."""
        if key not in self:
            return []
        value = self.value[key]
        if not isinstance(value, list | tuple):
            refuse(f"expected a list of numbers, found {_shown(value)}", self.at(key))
        return [as_number(item, f"{self.at(key)}[{index}]") for index, item in enumerate(value)]

    def objects(self) -> Iterator[tuple[str, Answer]]:
        """Yield each key with the object under it."""
        for key, value in self.value.items():
            yield str(key), Answer(value, self.at(str(key)))


def as_rows(value: object, place: str) -> list[Answer]:
    """Return the objects of a list."""
    if not isinstance(value, list | tuple):
        refuse(f"expected a list [...], found {_shown(value)}", place)
    return [Answer(item, f"{place}[{index}]") for index, item in enumerate(value)]


def as_number(value: object, place: str) -> float:
    """Return a finite number, or one that is written as text, with or without commas between thousands."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        refuse(f"expected a number, found {_shown(value)}", place)
    text = str(value).strip()
    if _THOUSANDS.fullmatch(text):
        text = text.replace(",", "")
    try:
        found = float(text)
    except ValueError:
        refuse(f"expected a number, found {_shown(value)}", place)
    return found if isfinite(found) else refuse(f"expected a finite number, found {_shown(value)}", place)


def stated(**figures: object) -> Reported:
    """Return what is stated among these figures: what is None, or empty, was not."""
    return {key: value for key, value in figures.items() if value is not None and value not in ({}, [])}


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
