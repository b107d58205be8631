"""The book: many accounts in columns, in account order. It knows neither prices nor rulebooks."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

from crossmargin.account.account import Account, MarginMode, Position, PositionSide
from crossmargin.errors import Failure, FailureReason, InputError
from crossmargin.units import is_finite

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from decimal import Decimal
    from typing import Any

    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]

CROSS_POOL = ""  # the pool label of whatever is not set apart


@dataclass(frozen=True, slots=True)
class PositionColumns:
    """Positions, one row each, in account order. Shapes: all [positions].

    `pool` points into `Book.pools`; `isolated` marks positions that are assessed alone.
    """

    account: Ints
    symbol: Ints
    quantity: Floats
    entry_price: Floats
    side: Ints
    pool: Ints
    isolated: npt.NDArray[np.bool_]
    leverage: Floats
    accrued_funding: Floats


@dataclass(frozen=True, slots=True)
class BalanceColumns:
    """Balances, one row for each asset of an account or of an isolated position. Shapes: all [balances].

    `position` is the isolated position that the balance backs, or -1.
    """

    account: Ints
    asset: Ints
    amount: Floats
    accrued: Floats
    position: Ints


@dataclass(frozen=True, slots=True)
class OrderColumns:
    """Open orders, one row each. Shapes: all [orders]."""

    account: Ints
    symbol: Ints
    quantity: Floats
    limit_price: Floats
    reduce_only: npt.NDArray[np.bool_]

    def margined(self) -> OrderColumns:
        """Return the orders that margin looks at: all but reduce-only ones.

        These can only lower what is required, so they count for nothing. Nothing is asked of their instruments either:
        a missing or old quote, or none any more, is no reason to refuse an account that only would reduce there (what
        it would reduce is a position, and that one is asked).
        """
        kept = ~self.reduce_only
        if kept.all():
            return self
        return OrderColumns(*(getattr(self, column.name)[kept] for column in fields(self)))


@dataclass(frozen=True, slots=True)
class Book:
    """Accounts in columns.

    `symbols`, `assets`, `pools` and `classes` are the tables that the integer columns point into;
    `inputs` [accounts] by name are NaN where an account states none: the rulebook's default holds there. `failures` are
    accounts that were refused at the door: they hold no rows.
    """

    account_ids: tuple[str, ...]
    account_class: Ints
    classes: tuple[str, ...]
    symbols: tuple[str, ...]
    assets: tuple[str, ...]
    pools: tuple[str, ...]
    positions: PositionColumns
    balances: BalanceColumns
    orders: OrderColumns
    inputs: dict[str, Floats]
    failures: dict[int, Failure]

    def __len__(self) -> int:
        """Return the number of accounts, refused ones included."""
        return len(self.account_ids)

    @property
    def numbers(self) -> np.dtype[Any]:
        """What its amounts are: float64, or objects where `from_accounts` was given a `number`."""
        return self.positions.quantity.dtype

    @classmethod
    def from_accounts(cls, accounts: Iterable[Account], number: Callable[[Decimal | int], Any] = float) -> Book:
        """Return the book of these accounts; an account that cannot be used becomes a failure row.

        Parameters
        ----------
        number
            What makes a column's number of an exact decimal.
        """
        return _Builder(number).build(list(accounts))


def check_account(account: Account) -> None:
    """Raise :class:`InputError` for a quantity or balance that cannot be one."""
    for position in account.positions:
        _check_position(account, position)
    for order in account.orders:
        if not is_finite(order.quantity) or order.quantity == 0:
            _refuse(account, f"order quantity must be a number other than 0, found {order.quantity}", order.instrument)
        _check_price(account, "limit_price", order.limit_price, order.instrument)
    for name, amounts in (("balances", account.balances), ("accrued", account.accrued), ("inputs", account.inputs)):
        for asset, amount in amounts.items():
            if not is_finite(amount):
                _refuse(account, f"{name} of {asset} must be a number, found {amount}")


def _check_position(account: Account, position: Position) -> None:
    quantity = position.quantity
    if not is_finite(quantity) or quantity == 0:
        _refuse(account, f"quantity must be a number other than 0, found {quantity}", position.instrument)
    if position.side is not None and (quantity > 0) != (position.side == PositionSide.LONG):
        _refuse(account, f"side is {position.side} but quantity is {quantity}", position.instrument)
    for name, value in (("accrued_funding", position.accrued_funding), *position.isolated_collateral.items()):
        if not is_finite(value):
            _refuse(account, f"{name} must be a number, found {value}", position.instrument)
    _check_price(account, "entry_price", position.entry_price, position.instrument)
    _check_price(account, "leverage", position.leverage, position.instrument)


def _check_price(account: Account, name: str, value: Decimal | None, instrument: str) -> None:
    if value is not None and not (is_finite(value) and value >= 0 and (value > 0 or name == "entry_price")):
        raise InputError(
            FailureReason.INVALID_PRICE,
            f"{name} must be above 0, found {value}",
            account=account.id,
            instrument=instrument,
        )


def repeated_account(name: str) -> InputError:
    """Return why every account of an id is refused that stands more than once."""
    message = "this account id stands more than once; merge the rows or rename one"
    return InputError(FailureReason.DUPLICATE_ACCOUNT, message, account=name)


def _refuse(account: Account, message: str, instrument: str | None = None) -> None:
    raise InputError(FailureReason.INVALID_QUANTITY, message, account=account.id, instrument=instrument)


class _Builder:
    """Collects rows account by account; nothing here survives the build."""

    def __init__(self, number: Callable[[Decimal | int], Any]) -> None:
        self.number = number
        self.symbols: dict[str, int] = {}
        self.assets: dict[str, int] = {}
        self.pools: dict[str, int] = {CROSS_POOL: 0}
        self.classes: dict[str, int] = {"": 0}
        self.positions: list[tuple[Any, ...]] = []
        self.balances: list[tuple[Any, ...]] = []
        self.orders: list[tuple[Any, ...]] = []
        self.inputs: dict[str, dict[int, Any]] = {}
        self.failures: dict[int, Failure] = {}

    def build(self, accounts: Sequence[Account]) -> Book:
        repeated = {name for name, count in Counter(a.id for a in accounts).items() if count > 1}
        for row, account in enumerate(accounts):
            try:
                if account.id in repeated:
                    raise repeated_account(account.id)
                check_account(account)
            except InputError as error:
                self.failures[row] = error.failure()
                continue
            self.add(row, account)
        return self.finish(accounts)

    def add(self, row: int, account: Account) -> None:
        for position in account.positions:
            self.add_position(row, account, position)
        for asset in sorted({*account.balances, *account.accrued}):
            self.add_balance(row, asset, account.balances.get(asset, 0), account.accrued.get(asset, 0), -1)
        for order in account.orders:
            symbol = self.symbols.setdefault(order.instrument, len(self.symbols))
            limit = self.number(order.limit_price)
            self.orders.append((row, symbol, self.number(order.quantity), limit, order.reduce_only))
        for name, value in account.inputs.items():
            self.inputs.setdefault(name, {})[row] = self.number(value)

    def add_position(self, row: int, account: Account, position: Position) -> None:
        isolated = (position.margin_mode or account.margin_mode) == MarginMode.ISOLATED
        entry = float("nan") if position.entry_price is None else self.number(position.entry_price)
        leverage = float("nan") if position.leverage is None else float(position.leverage)
        side = 0 if position.side is None else (1 if position.side == PositionSide.LONG else -1)
        symbol = self.symbols.setdefault(position.instrument, len(self.symbols))
        pool = self.pools.setdefault(position.pool or CROSS_POOL, len(self.pools))
        quantity, funding = self.number(position.quantity), self.number(position.accrued_funding)
        self.positions.append((row, symbol, quantity, entry, side, pool, isolated, leverage, funding))
        for asset, amount in position.isolated_collateral.items():
            self.add_balance(row, asset, amount, 0, len(self.positions) - 1)

    def add_balance(self, row: int, asset: str, amount: Decimal | int, accrued: Decimal | int, position: int) -> None:
        code = self.assets.setdefault(asset, len(self.assets))
        self.balances.append((row, code, self.number(amount), self.number(accrued), position))

    def finish(self, accounts: Sequence[Account]) -> Book:
        classes = [self.classes.setdefault(a.class_ or "", len(self.classes)) for a in accounts]
        inputs = {}
        numbers = np.asarray(self.number(0)).dtype
        for name, values in self.inputs.items():
            inputs[name] = np.full(len(accounts), np.nan, dtype=numbers)
            inputs[name][list(values)] = list(values.values())
        p, b, o = (
            _columns(rows, width, numbers)
            for rows, width in ((self.positions, 9), (self.balances, 5), (self.orders, 5))
        )
        return Book(
            account_ids=tuple(a.id for a in accounts),
            account_class=np.asarray(classes, dtype=np.int64),
            classes=tuple(self.classes),
            symbols=tuple(self.symbols),
            assets=tuple(self.assets),
            pools=tuple(self.pools),
            positions=PositionColumns(
                _ints(p[0]), _ints(p[1]), p[2], p[3], _ints(p[4]), _ints(p[5]), p[6] != 0, _floats(p[7]), p[8]
            ),
            balances=BalanceColumns(_ints(b[0]), _ints(b[1]), b[2], b[3], _ints(b[4])),
            orders=OrderColumns(_ints(o[0]), _ints(o[1]), o[2], o[3], o[4] != 0),
            inputs=inputs,
            failures=self.failures,
        )


def _columns(rows: list[tuple[Any, ...]], width: int, numbers: np.dtype[Any]) -> Floats:
    return np.ascontiguousarray(np.asarray(rows, dtype=numbers).reshape(-1, width).T)


def _floats(column: Floats) -> Floats:
    return column.astype(np.float64, copy=False)


def _ints(column: Floats) -> Ints:
    return column.astype(np.int64)
