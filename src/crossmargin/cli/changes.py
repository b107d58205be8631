"""The small language of `what-if`: trades, orders, deposits and shocks written in one word each."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, NoReturn

import click

from crossmargin.units import is_finite

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# A comma only before groups of three: what some write as 0,5 must not be read as 5.
_NUMBER = r"[+-]?(?:\d{1,3}(?:,\d{3})+(?:\.\d*)?|\d[\d_]*\.?\d*|\.\d+)(?:e[+-]?\d+)?"
_ADD = re.compile(rf"(?P<name>\S+):(?P<quantity>{_NUMBER})(?:@(?P<price>{_NUMBER}))?", re.IGNORECASE)
_DEPOSIT = re.compile(rf"(?P<name>[^\s:]+):(?P<quantity>{_NUMBER})", re.IGNORECASE)
_MOVE = re.compile(rf"(?P<number>{_NUMBER})\s*(?P<unit>%|bp|d|h|w)?", re.IGNORECASE)
_DAYS = {"h": 1 / 24, "d": 1.0, "w": 7.0}
_DIVISORS = {"%": 100, "bp": 10_000, "": 1}

ADD_FORM = "SYMBOL:QUANTITY or SYMBOL:QUANTITY@PRICE, as in 'BTC-PERPETUAL:+10' or 'BTCUSDT:-0.5@71000'"
ORDER_FORM = "SYMBOL:QUANTITY@LIMIT, as in 'BTCUSDT:-5@70000'"
DEPOSIT_FORM = "ASSET:AMOUNT, as in 'USDC:+1000' or 'BTC:-0.5'"
SHOCK_FORM = "NAME=MOVE,... as in 'BTC=-20%,vol=+30%,time=+1d,USDT=-2%,funding=+0.01%'"
FEE_FORM = "a rate, as in '0.05%' or '5bp'"


@dataclass(frozen=True, slots=True)
class Trade:
    """Signed contracts of an instrument; without a price, at the mark."""

    instrument: str
    quantity: Decimal
    price: Decimal | None


@dataclass(frozen=True, slots=True)
class Moves:
    """One joint shock. Prices and vols relative, time in days, funding absolute per interval."""

    prices: Mapping[str, float] = field(default_factory=dict)
    vol: float = 0.0
    time_days: float = 0.0
    funding: float = 0.0


def parse_trade(text: str, option: str = "--add") -> Trade:
    """Return the trade that ``SYMBOL:QUANTITY[@PRICE]`` says."""
    found = _ADD.fullmatch(text.strip())
    if found is None:
        _wrong(option, text, ADD_FORM)
    price = found["price"]
    return _checked(option, text, found["name"], found["quantity"], price, ADD_FORM)


def parse_order(text: str) -> Trade:
    """Return the order that ``SYMBOL:QUANTITY@LIMIT`` says."""
    found = _ADD.fullmatch(text.strip())
    if found is None or found["price"] is None:
        _wrong("--order", text, ORDER_FORM)
    return _checked("--order", text, found["name"], found["quantity"], found["price"], ORDER_FORM)


def parse_deposit(text: str) -> tuple[str, Decimal]:
    """Return the asset and the signed amount that ``ASSET:AMOUNT`` says."""
    found = _DEPOSIT.fullmatch(text.strip())
    if found is None:
        _wrong("--deposit", text, DEPOSIT_FORM)
    return found["name"], _decimal(found["quantity"], "--deposit", text, DEPOSIT_FORM)


def parse_deposits(texts: Sequence[str]) -> dict[str, Decimal]:
    """Return signed amounts by asset; deposits of one asset add up."""
    amounts: dict[str, Decimal] = {}
    for asset, amount in map(parse_deposit, texts):
        amounts[asset] = amounts.get(asset, Decimal(0)) + amount
    return amounts


def parse_shock(texts: Sequence[str]) -> Moves:
    """Return the joint shock that ``NAME=MOVE,...`` says; options given more than once add up."""
    prices: dict[str, float] = {}
    named = {"vol": 0.0, "time": 0.0, "funding": 0.0}
    seen: set[str] = set()
    for piece in (piece for text in texts for piece in text.split(",") if piece.strip()):
        name, equals, move = (part.strip() for part in piece.partition("="))
        if not (name and equals and move):
            _wrong("--shock", piece, SHOCK_FORM)
        if name in seen:
            raise click.BadParameter(f"{name!r} stands twice: say one move for it", param_hint="--shock")
        seen.add(name)
        if name in named:
            named[name] = _move(piece, move, time=name == "time")
        else:
            prices[name] = _relative(piece, move)
    return Moves(prices, named["vol"], named["time"], named["funding"])


def parse_fee(text: str) -> float:
    """Return the fee as a fraction of notional."""
    return parse_rate(text, "--fee")


def parse_rate(text: str, option: str) -> float:
    """Return a rate as a fraction."""
    found = _MOVE.fullmatch(text.strip())
    if found is None or _unit(found) in _DAYS:
        _wrong(option, text, FEE_FORM)
    return _fraction(found, option, text, FEE_FORM)


def _relative(piece: str, move: str) -> float:
    """Return a relative price move; a price cannot fall by more than all of it."""
    value = _move(piece, move, time=False)
    if value <= -1:
        raise click.BadParameter(f"{piece.strip()!r}: a price cannot fall by 100 % or more", param_hint="--shock")
    return value


def _move(piece: str, move: str, *, time: bool) -> float:
    found = _MOVE.fullmatch(move)
    if found is None or (_unit(found) in _DAYS) is not time:
        wanted = "a time such as +1d, +6h or +2w" if time else "a move such as -20% or +0.05"
        raise click.BadParameter(f"{piece.strip()!r} needs {wanted}; write {SHOCK_FORM}", param_hint="--shock")
    if time:
        return float(found["number"]) * _DAYS[_unit(found)]
    return _fraction(found, "--shock", piece, SHOCK_FORM)


def _fraction(found: re.Match[str], option: str, text: str, form: str) -> float:
    return float(_decimal(found["number"], option, text, form) / _DIVISORS[_unit(found)])


def _unit(found: re.Match[str]) -> str:
    return (found["unit"] or "").lower()


def _checked(option: str, text: str, name: str, quantity: str, price: str | None, form: str) -> Trade:
    amount = _decimal(quantity, option, text, form)
    if amount == 0:
        raise click.BadParameter(f"{text!r}: the quantity is 0; write {form}", param_hint=option)
    paid = None if price is None else _decimal(price, option, text, form)
    if paid is not None and paid <= 0:
        raise click.BadParameter(f"{text!r}: the price must be above 0; write {form}", param_hint=option)
    return Trade(name, amount, paid)


def _decimal(number: str, option: str, text: str, form: str) -> Decimal:
    try:
        value = Decimal(number.replace(",", "").replace("_", ""))
    except InvalidOperation:
        _wrong(option, text, form)
    if not is_finite(value):
        _wrong(option, text, form)
    return value


def _wrong(option: str, piece: str, form: str) -> NoReturn:
    raise click.BadParameter(f"cannot read {piece.strip()!r}: write {form}", param_hint=option)
