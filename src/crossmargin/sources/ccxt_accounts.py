"""An account from what ccxt returns for balances and positions.

The file that is accepted (numbers or decimal strings, unknown keys tolerated everywhere)::

    {"id": "desk-1",                       optional; the file's name without .json otherwise
     "exchange": "deribit",                optional; ccxt's exchange id
     "margin_mode": "portfolio",           optional; cross otherwise
     "balance": {...},                     what fetch_balance returned
     "positions": [{...}],                 what fetch_positions returned
     "markets": [{...}]}                   optional; what fetch_markets returned, for contract sizes

Venues differ below ccxt's uniform surface, and each rule here answers one observed difference:

- `contracts` is unsigned with `side`, but signed on Deribit: its absolute value and `side` are used.
- On Deribit `contracts` is an amount (dollars for inverse futures, coins otherwise):
  the quantity is that amount over the multiplier. Elsewhere `contracts` counts contracts of `contractSize`.
- `total` is equity, unrealised P&L included, on some venues: a wallet balance in the raw `info` is preferred.
  `debt` is subtracted, unless the balance is negative, because then it holds the debt already.
- Figures that the venue computed (notional, liquidation price, margins) go to `Account.reported` only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Final

from crossmargin.account import Account, MarginMode, Position, PositionSide
from crossmargin.errors import Failure, FailureReason, InputError
from crossmargin.instruments import Instrument, InstrumentKind
from crossmargin.sources.ccxt_markets import instruments_from_ccxt
from crossmargin.sources.ccxt_shapes import (
    Shape,
    decode_shape,
    mapping,
    number,
    parse_symbol,
    records,
    text,
    top_keys,
)
from crossmargin.sources.interchange import LoadedAccounts, check_structure
from crossmargin.sources.reported_ccxt import from_balance
from crossmargin.sources.reported_ccxt import position as reported_position

_ZERO: Final = Decimal(0)
# Keys of fetch_balance beside the currencies.
_NOT_CURRENCIES: Final = frozenset({"info", "free", "used", "total", "debt", "timestamp", "datetime"})
# How venues name the currency and the wallet balance of one raw balance record.
_WALLET_KEYS: Final = (("asset", "walletBalance"), ("coin", "walletBalance"), ("ccy", "cashBal"))
_DEEPEST_INFO: Final = 6


def is_ccxt_account(content: bytes) -> bool:
    """Return whether a JSON document has the shape above and not that of an accounts.json."""
    keys = top_keys(content)
    return "accounts" not in keys and bool(keys & {"balance", "positions"})


def decode_ccxt_account(
    content: bytes,
    name: str,
    *,
    stem: str = "account",
    instruments: Mapping[str, Instrument] | None = None,
) -> LoadedAccounts:
    """Return the one account of such a file, or its refusal as a failure; raises only for what is no JSON."""
    shape = decode_shape(content, name)
    owner = text(shape, "id") or stem
    try:
        own = instruments_from_ccxt(shape.get("markets")) if shape.get("markets") else {}
        account = account_from_ccxt(
            owner,
            balance=_balance(shape),
            positions=_positions(shape),
            exchange=text(shape, "exchange"),
            instruments={**own, **(instruments or {})},
            margin_mode=_margin_mode(shape),
        )
    except InputError as error:
        return LoadedAccounts((Failure(error.reason, f"{name}: {error.message}", owner, error.instrument),))
    return LoadedAccounts((account,))


def _balance(shape: Shape) -> Shape:
    value = shape.get("balance")
    if not (value is None or isinstance(value, Mapping)):
        raise InputError(FailureReason.MALFORMED_INPUT, "balance: expected the object that fetch_balance returned")
    found = mapping(shape, "balance")
    for asset, entry in found.items():
        if asset.isupper() and entry is not None and not isinstance(entry, Mapping):
            message = f'balance: {asset} must be an object such as {{"total": 1}}, found {str(entry)[:60]!r}'
            raise InputError(FailureReason.MALFORMED_INPUT, message)
    return found


def _positions(shape: Shape) -> list[Shape]:
    """Return the positions; what is none is refused: an account must not be read as flat."""
    value = shape.get("positions")
    found = records(value)
    if not (value is None or (isinstance(value, list | Mapping) and len(found) == len(value))):
        message = "positions: expected the list of objects that fetch_positions returned"
        raise InputError(FailureReason.MALFORMED_INPUT, message)
    return found


def _margin_mode(shape: Shape) -> MarginMode:
    found = text(shape, "margin_mode") or MarginMode.CROSS
    if found not in set(MarginMode):
        message = f"margin_mode: expected {', '.join(MarginMode)}, found {found!r}"
        raise InputError(FailureReason.MALFORMED_INPUT, message)
    return MarginMode(found)


def account_from_ccxt(
    account_id: str,
    *,
    balance: Shape,
    positions: Iterable[Shape],
    exchange: str | None = None,
    instruments: Mapping[str, Instrument] | None = None,
    margin_mode: MarginMode = MarginMode.CROSS,
) -> Account:
    """Return an account from the results of fetch_balance and fetch_positions.

    Raises
    ------
    InputError
        For a figure that is no number, an unreadable symbol, or an amount whose contract size is unknown.
    """
    shapes = [shape for shape in positions if number(shape, "contracts") != _ZERO]
    known = instruments or {}
    both_sides = _on_both_sides(shapes)
    held = tuple(position_from_ccxt(shape, exchange, known, both_sides) for shape in shapes)
    account = Account(
        id=account_id,
        margin_mode=margin_mode,
        balances=_without_isolated(balances_from_ccxt(balance, shapes, exchange), held),
        positions=held,
        reported={
            "source": "ccxt",
            "exchange": exchange,
            **from_balance(balance, account_id),
            "positions": [reported_position(shape, one.instrument) for shape, one in zip(shapes, held, strict=True)],
        },
    )
    check_structure(account, account_id)
    return account


def balances_from_ccxt(
    balance: Shape, positions: Iterable[Shape] = (), exchange: str | None = None
) -> dict[str, Decimal]:
    """Return the signed wallet balance per asset, zeros left out; negative is borrowed."""
    wallets = _wallets(balance.get("info"))
    unrealized = _unrealized(positions) if _states_equity_only(balance, exchange) else {}
    found: dict[str, Decimal] = {}
    for asset, entry in _by_currency(balance).items():
        amount = wallets.get(asset)
        if amount is None:
            amount = _total(entry) - unrealized.get(asset, _ZERO)
        if amount >= 0:
            amount -= abs(number(entry, "debt") or _ZERO)
        if amount:
            found[asset] = amount
    return found


def _by_currency(balance: Shape) -> dict[str, Shape]:
    found = {key: value for key, value in balance.items() if key not in _NOT_CURRENCIES and isinstance(value, Mapping)}
    totals, debts = mapping(balance, "total"), mapping(balance, "debt")
    for asset in totals:
        found.setdefault(asset, {"total": totals[asset], "debt": debts.get(asset)})
    return found


def _total(entry: Shape) -> Decimal:
    total = number(entry, "total")
    if total is None:
        total = (number(entry, "free") or _ZERO) + (number(entry, "used") or _ZERO)
    if not total.is_finite():
        raise InputError(FailureReason.INVALID_QUANTITY, f"a balance must be a number, found {total}")
    return total


def _wallets(info: object, depth: int = 0) -> dict[str, Decimal]:
    """Return wallet balances that raw records state; one stated twice differently is left to `total`."""
    if depth > _DEEPEST_INFO:
        return {}
    found: dict[str, Decimal] = {}
    if isinstance(info, Mapping):
        for currency_key, wallet_key in (
            *_WALLET_KEYS,
            *((("currency", "balance"),) if "equity" in info else ()),
        ):
            currency, wallet = text(info, currency_key), number(info, wallet_key)
            if currency and wallet is not None:
                return {currency: wallet}
    items = info.values() if isinstance(info, Mapping) else info if isinstance(info, list) else ()
    for item in items:
        for asset, amount in _wallets(item, depth + 1).items():
            found[asset] = amount if found.get(asset, amount) == amount else Decimal("NaN")
    return {asset: amount for asset, amount in found.items() if depth or amount.is_finite()}


def _states_equity_only(balance: Shape, exchange: str | None) -> bool:
    """Hyperliquid states no wallet balance: its total is the account value, unrealised P&L included."""
    return exchange == "hyperliquid" or bool(mapping(mapping(balance, "info"), "marginSummary"))


def _unrealized(positions: Iterable[Shape]) -> dict[str, Decimal]:
    found: dict[str, Decimal] = {}
    for shape in positions:
        settle = parse_symbol(_symbol(shape)).settle
        found[settle] = found.get(settle, _ZERO) + (number(shape, "unrealizedPnl") or _ZERO)
    return found


def _without_isolated(balances: dict[str, Decimal], positions: Iterable[Position]) -> dict[str, Decimal]:
    """Take out of the wallet what backs isolated positions: ccxt counts it in both places."""
    for position in positions:
        for asset, amount in position.isolated_collateral.items():
            if asset in balances:
                balances[asset] -= amount
    return balances


def position_from_ccxt(
    shape: Shape,
    exchange: str | None = None,
    instruments: Mapping[str, Instrument] | None = None,
    both_sides: frozenset[str] = frozenset(),
) -> Position:
    """Return one position: signed contracts of the instrument, as its multiplier counts them.

    Parameters
    ----------
    shape
        One element of what fetch_positions returned.
    exchange
        ccxt's exchange id; without it Deribit is recognised by its raw `info`.
    instruments
        Contract terms by symbol; they decide the multiplier, and the name where they know the venue's own id.
    both_sides
        Symbols held long and short at once: their positions keep their side.
    """
    symbol, known = _symbol(shape), instruments or {}
    name = next((key for key in (symbol, *_native_ids(shape)) if key in known), symbol)
    contracts = number(shape, "contracts")
    if contracts is None or not contracts.is_finite():
        message = "contracts: expected a number; ccxt gave none for this position"
        raise InputError(FailureReason.INVALID_QUANTITY, message, instrument=symbol)
    side = (text(shape, "side") or ("short" if contracts < 0 else "long")).lower()
    if side not in set(PositionSide):
        message = f"side: expected long or short, found {side!r}"
        raise InputError(FailureReason.MALFORMED_INPUT, message, instrument=symbol)
    count = abs(contracts) * _count_per_unit(shape, symbol, exchange, known.get(name))
    hedged = shape.get("hedged") is True or symbol in both_sides
    isolated = text(shape, "marginMode") == "isolated"
    return Position(
        instrument=name,
        quantity=-count if side == "short" else count,
        entry_price=number(shape, "entryPrice"),
        side=PositionSide(side) if hedged else None,
        margin_mode=MarginMode.ISOLATED if isolated else None,
        isolated_collateral=_isolated_collateral(shape, symbol) if isolated else {},
        leverage=number(shape, "leverage"),
    )


def _symbol(shape: Shape) -> str:
    symbol = text(shape, "symbol")
    if symbol is None:
        raise InputError(FailureReason.MALFORMED_INPUT, "a position has no symbol; every ccxt position has one")
    return symbol


def _native_ids(shape: Shape) -> tuple[str, ...]:
    info = mapping(shape, "info")
    found = (text(info, key) for key in ("instrument_name", "instId", "symbol", "coin"))
    return tuple(native for native in found if native)


def _on_both_sides(shapes: Iterable[Shape]) -> frozenset[str]:
    sides = {(_symbol(shape), text(shape, "side")) for shape in shapes}
    return frozenset(symbol for symbol, side in sides if side == "long" and (symbol, "short") in sides)


def _count_per_unit(shape: Shape, symbol: str, exchange: str | None, instrument: Instrument | None) -> Decimal:
    """Return how many contracts of the instrument one unit of ccxt's `contracts` is."""
    stated = number(shape, "contractSize")
    multiplier = Decimal(str(instrument.multiplier)) if instrument else stated
    if not _is_deribit(shape, exchange):
        return stated / multiplier if stated and multiplier else Decimal(1)
    if not multiplier and parse_symbol(symbol).kind == InstrumentKind.OPTION:
        return Decimal(1)
    if not multiplier:
        message = "Deribit counts this position in dollars or coins, and contractSize is absent: add `markets`"
        raise InputError(FailureReason.INVALID_INSTRUMENT, message, instrument=symbol)
    return 1 / multiplier


def _is_deribit(shape: Shape, exchange: str | None) -> bool:
    info = mapping(shape, "info")
    return exchange == "deribit" or (exchange is None and "instrument_name" in info and "direction" in info)


def _isolated_collateral(shape: Shape, symbol: str) -> dict[str, Decimal]:
    """Return what backs the position: ccxt's collateral moves with P&L, a wallet does not."""
    collateral = number(shape, "collateral")
    if not collateral:
        return {}
    return {parse_symbol(symbol).settle: collateral - (number(shape, "unrealizedPnl") or _ZERO)}
