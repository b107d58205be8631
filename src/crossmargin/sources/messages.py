"""What is wrong with a JSON document, said for people: the place, what was expected, and what was found.

msgspec decodes quickly and says little ("Invalid decimal string - at `$.balances[...]`"). Only once something
has failed does this module look again, to name the key, quote what stands there and guess what was meant.
"""

from __future__ import annotations

import json
import re
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeAlias

import msgspec

from crossmargin.account import Account, MarginMode, Order, Position, PositionSide
from crossmargin.errors import FailureReason, InputError
from crossmargin.instruments import ContractKind, InstrumentKind, OptionType
from crossmargin.market import AssetQuote, Confidence, Listing

if TYPE_CHECKING:
    from collections.abc import Iterable
    from enum import StrEnum

_Struct: TypeAlias = type[msgspec.Struct]

_STRUCTS: Final[dict[str, _Struct]] = {
    "accounts": Account,
    "positions": Position,
    "orders": Order,
    "assets": AssetQuote,
    "instruments": Listing,
    "confidence": Confidence,
}
_ENUMS: Final[dict[str, type[StrEnum]]] = {
    "margin_mode": MarginMode,
    "side": PositionSide,
    "kind": InstrumentKind,
    "contract": ContractKind,
    "option_type": OptionType,
}
_KINDS: Final = {
    "array": "a list [...]",
    "bool": "true or false",
    "datetime": 'a time with its zone, such as "2026-02-05T08:00:00Z"',
    "decimal": 'a decimal number, such as "1.25"',
    "float": "a number (without quotes)",
    "int": "a whole number",
    "null": "null",
    "object": "an object {...}",
    "str": "a text in quotes",
}
_INVALID: Final = {
    "Invalid decimal string": "decimal",
    "Invalid RFC3339 encoded datetime": "datetime",
    "Number out of range": "float",
}
_STEP: Final = re.compile(r"\.([^.\[]+)|\[(\d+)\]|\[\.\.\.\]")
_LONE_SURROGATE: Final = re.compile(r"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")
_LONGEST_QUOTE: Final = 60


def known_keys(struct: _Struct) -> tuple[str, ...]:
    """Return the names that an object may use on the wire."""
    return struct.__struct_encode_fields__


def refuse(message: str, path: str) -> NoReturn:
    """Raise the refusal of a malformed document."""
    raise InputError(FailureReason.MALFORMED_INPUT, message, path=path)


def suggest(found: str, known: Iterable[str]) -> str:
    """Return `` (did you mean ...?)`` for a near miss, else which names there are."""
    names = list(known)
    near = get_close_matches(found, names, n=1, cutoff=0.6)
    return f"did you mean {near[0]!r}?" if near else f"the keys here are {', '.join(names)}"


def as_text(content: bytes, name: str) -> str:
    """Return the document as text, no byte-order mark; refuses what is no UTF-8 by line and column."""
    try:
        return content.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line, column = _line_and_column(content[: error.start].decode("utf-8"))
        refuse("expected UTF-8 text; save the file as UTF-8", f"{name}:{line}:{column}")


def _line_and_column(before: str) -> tuple[int, int]:
    return before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1


def refuse_syntax(error: Exception, text: str, name: str) -> NoReturn:
    """Raise the refusal of a text that is no JSON, with line and column counted from 1."""
    if isinstance(error, RecursionError):
        refuse("the values are nested too deeply to be read", name)
    found = re.fullmatch(r"JSON is malformed: (.*) \(byte (\d+)\)", str(error))
    if found:
        before = text.encode()[: int(found[2])].decode(errors="ignore")
        problem = found[1]
    else:
        before, problem = _truncated(text)
    line, column = _line_and_column(before)
    shown = _quote(text[len(before) : len(before) + 20].split("\n", maxsplit=1)[0])
    refuse(f"this is no valid JSON: {problem}, at {shown or 'the end of the text'}", f"{name}:{line}:{column}")


def _truncated(text: str) -> tuple[str, str]:
    r"""Tell a text that ends too early from a broken ``\\u`` escape: msgspec reports both alike."""
    try:
        json.loads(text, parse_int=str)
    except (ValueError, RecursionError):
        return text.rstrip(), "it ends before it is complete"
    lone = _LONE_SURROGATE.search(text)
    return text[: lone.start() if lone else len(text)], r"half of a \u surrogate pair"


def refuse_content(error: Exception, raw: bytes, name: str, root: str, struct: _Struct) -> NoReturn:
    """Raise the refusal of JSON that does not fit the format.

    Parameters
    ----------
    error
        What msgspec raised.
    raw
        The JSON of the value that was decoded.
    name, root
        The file, and the place of the value in it (``$.accounts[3]``).
    struct
        The type that was decoded.
    """
    found = re.fullmatch(r"(.*?)(?: - at `(.*)`)?", str(error), re.DOTALL)
    problem, steps = (found[1], found[2] or "$") if found else (str(error), "$")
    path, value = _locate(raw, steps.removeprefix("$"))
    refuse(_sentence(problem, path, value, struct), f"{name}: {root}{path}")


def _locate(raw: bytes, steps: str) -> tuple[str, bytes]:
    """Return the path with map keys filled in, and the JSON that stands there."""
    path = last = ""
    for step in _STEP.finditer(steps):
        if step[1]:
            members = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
            raw, last = bytes(members.get(step[1], b"")), step[1]
            path += f".{step[1]}"
        elif step[2]:
            raw = bytes(msgspec.json.decode(raw, type=list[msgspec.Raw])[int(step[2])])
            path += f"[{step[2]}]"
        else:
            key, raw = _first_bad_member(raw, last)
            path += f".{key}" if key.isidentifier() else f"[{json.dumps(key)}]"
    return path, raw


def _first_bad_member(raw: bytes, owner: str) -> tuple[str, bytes]:
    from decimal import Decimal

    wanted: Any = {"assets": AssetQuote, "reported": Any, "calibration": Any}.get(owner, Decimal)
    for key, value in msgspec.json.decode(raw, type=dict[str, msgspec.Raw]).items():
        try:
            msgspec.json.decode(value, type=wanted)
        except msgspec.ValidationError:
            return key, bytes(value)
    return "...", b""


def _sentence(problem: str, path: str, value: bytes, struct: _Struct) -> str:
    last = re.sub(r"\[\d+\]$", "", path).rpartition(".")[2]
    inside = "assets" if path.startswith((".assets.", '.assets["')) else last
    here = _STRUCTS.get(inside, struct)
    if unknown := re.fullmatch(r"Object contains unknown field `(.*)`", problem, re.DOTALL):
        return f"unknown key {unknown[1]!r}; {suggest(unknown[1], known_keys(here))}"
    if missing := re.fullmatch(r"Object missing required field `(.*)`", problem):
        return f"the key {missing[1]!r} is missing; add it"
    if problem.startswith("Invalid enum value") and last in _ENUMS:
        return f"expected {_or(repr(str(member)) for member in _ENUMS[last])}, found {_quote(value)}"
    found = f", found {_quote(value)}" if value else ""
    if problem in _INVALID:
        return f"expected {_KINDS[_INVALID[problem]]}{found}"
    if wrong := re.fullmatch(r"Expected `(.*)`, got `.*`", problem):
        return f"expected {_or(_KINDS.get(kind, kind) for kind in wrong[1].split(' | '))}{found}"
    return f"{problem}{found}"


def _or(choices: Iterable[str]) -> str:
    return " or ".join(choices)


def _quote(value: bytes | str) -> str:
    text = value.decode(errors="replace") if isinstance(value, bytes) else value
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST_QUOTE else f"{text[:_LONGEST_QUOTE]}..."


class RepeatedKeys:
    """Which keys stand twice in one object. JSON readers keep the last silently: a balance would be lost."""

    def __init__(self, text: str) -> None:
        self._last: list[str] = []
        self.keys: list[str] = []
        # Numbers stay text: this reader looks only at names, and a huge number must not stop it.
        json.loads(text, object_pairs_hook=self._see, parse_int=str, parse_float=str)

    def _see(self, pairs: list[tuple[str, Any]]) -> None:
        self._last = []
        if len(pairs) != len(dict(pairs)):
            names = [key for key, _ in pairs]
            self._last = sorted({key for key in names if names.count(key) > 1})
            self.keys += self._last

    @property
    def outermost(self) -> list[str]:
        """The repeated keys of the document itself: the object that is complete last."""
        return self._last


def refuse_repeated(keys: list[str], path: str) -> NoReturn:
    """Raise the refusal of an object in which a key stands twice."""
    refuse(f"the key {keys[0]!r} stands more than once in one object; merge the two or remove one", path)
