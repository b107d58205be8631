"""Required capital, solved with the engine itself, and what netting saves of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, fields, replace
from decimal import Decimal
from typing import TYPE_CHECKING

import numpy as np

from crossmargin.account import Account, Book, Position
from crossmargin.analysis.explanation import CapitalEfficiency
from crossmargin.errors import FailureReason, InputError
from crossmargin.margin.evaluation import Evaluation
from crossmargin.margin.model import INITIAL
from crossmargin.margin.resolve import SETTLEMENT, resolve
from crossmargin.margin.resolved import Legs, expiry_key, make_levels, strike_key
from crossmargin.margin.roots import bisect
from crossmargin.scenarios import ASSET
from crossmargin.units import exact

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy.typing as npt

    from crossmargin.errors import Failure
    from crossmargin.margin.model import Rulebook
    from crossmargin.margin.resolved import Resolved
    from crossmargin.market import Snapshot

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]

_PURSE = "\0purse"  # an account of our own, so that every reporting asset is among the contracts
_STEPS = 40
_CLOSE = 1e-12  # of the first headroom: what rounding leaves
_FREE = 1e-9  # of what a loan takes from headroom: less than this beyond the loan itself is rounding


def required_capital(
    account: Account, snapshot: Snapshot, rulebook: Rulebook, *, max_quote_age_seconds: float | None = 3600.0
) -> float:
    """Return the least capital that backs an account initially, in the account's reporting asset, premium included.

    Cash in the reporting asset is added to each pool, or taken out (beyond what is there it is borrowed), until its
    initial headroom is 0; the pool's capital is its equity then. Where the rulebook charges that loan, balances pegged
    to the reporting asset are taken out first, in the account's order, and only the rest is borrowed: nobody borrows
    dollars beside idle dollar coins. Pools are summed. An account without positions, orders, debts and coins requires
    0; coins require their haircut.

    Raises
    ------
    InputError
        The account's refusal; NOT_CONVERGED where no amount of cash brings headroom to 0.
    """
    found = _capitals([account], snapshot, rulebook, max_quote_age_seconds)[0]
    if isinstance(found, InputError):
        raise found
    return found


def capital_efficiency(
    account: Account, snapshot: Snapshot, rulebook: Rulebook, *, max_quote_age_seconds: float | None = 3600.0
) -> CapitalEfficiency:
    """Return the account's required capital against the sum of its parts alone; all solved as one book.

    Raises
    ------
    InputError
        The refusal of the account or of a part.
    """
    parts = _parts(account, snapshot, rulebook)
    found = _capitals([account, *parts.values()], snapshot, rulebook, max_quote_age_seconds)
    for capital in found:
        if isinstance(capital, InputError):
            raise capital
    cross, *alone = (capital for capital in found if not isinstance(capital, InputError))
    standalone = float(sum(alone))
    return CapitalEfficiency(
        cross=cross,
        standalone=standalone,
        efficiency=1.0 - cross / standalone if standalone > 0 else None,
        positions=dict(zip(parts, alone, strict=True)),
    )


def _parts(account: Account, snapshot: Snapshot, rulebook: Rulebook) -> dict[str, Account]:
    """Return each position and each balance in an otherwise empty account, by name."""
    counted = Counter(position.instrument for position in account.positions)
    found: dict[str, Account] = {}
    for number, position in enumerate(account.positions):
        name = position.instrument
        if counted[name] > 1:  # hedge mode, or several pools
            side = "long" if position.quantity > 0 else "short"
            name = " ".join(filter(None, (name, side, position.pool)))
            name = f"{name} ({number + 1})" if name in found else name
        found[name] = _alone(account, len(found), positions=(_at_mark(position, snapshot),))
    own = set() if rulebook.reporting == SETTLEMENT else {rulebook.reporting}
    for asset, amount in account.balances.items():
        if asset not in own and amount:
            name = f"{asset} balance" if asset in found else asset  # a contract may bear its coin's name
            found[name] = _alone(account, len(found), balances={asset: amount})
    return found


def _alone(
    account: Account, number: int, positions: tuple[Position, ...] = (), balances: Mapping[str, Decimal] | None = None
) -> Account:
    return Account(
        id=f"{account.id}\0{number}", margin_mode=account.margin_mode, class_=account.class_, positions=positions,
        balances=balances or {},
    )  # fmt: skip


def _at_mark(position: Position, snapshot: Snapshot) -> Position:
    """Return a position as if it were entered now: no P&L, no funding, no collateral of its own."""
    listing = snapshot.listings.get(position.instrument)
    mark = None if listing is None or not listing.mark_price else exact(listing.mark_price)
    return Position(
        instrument=position.instrument, quantity=position.quantity, entry_price=mark or position.entry_price,
        side=position.side, pool=position.pool, margin_mode=position.margin_mode, leverage=position.leverage,
    )  # fmt: skip


def _capitals(
    accounts: Sequence[Account], snapshot: Snapshot, rulebook: Rulebook, age: float | None
) -> list[float | InputError]:
    """Return each account's required capital in its reporting asset, or why it has none."""
    purse = Account(id=_PURSE, balances=dict.fromkeys(_reporting_assets(accounts, snapshot, rulebook), Decimal(1)))
    book = Book.from_accounts([*accounts, purse])
    resolved = resolve(book, snapshot, rulebook, max_quote_age_seconds=age)
    capital, failures = _solve(resolved, rulebook, [*accounts, purse], snapshot)
    units = resolved.units
    money = capital * (units.numeraire if resolved.in_settlement else 1.0)
    out: list[float | InputError] = []
    for row in range(len(accounts)):
        failure = failures.get(row)
        total = float(money[units.account == row].sum())
        if failure is None and not np.isfinite(total):
            message = "no amount of reporting cash brings the initial headroom to 0"
            out.append(InputError(FailureReason.NOT_CONVERGED, message, account=accounts[row].id))
        elif failure is not None:
            out.append(InputError(failure.reason, failure.message, account=accounts[row].id,
                                  instrument=failure.instrument))  # fmt: skip
        else:
            out.append(total)
    return out


def _reporting_assets(accounts: Sequence[Account], snapshot: Snapshot, rulebook: Rulebook) -> list[str]:
    if rulebook.reporting != SETTLEMENT:
        return [rulebook.reporting]
    held = {name for account in accounts for name in (*account.balances, *account.accrued)}
    held |= {asset for account in accounts for p in account.positions for asset in p.isolated_collateral}
    symbols = {p.instrument for a in accounts for p in a.positions} | {o.instrument for a in accounts for o in a.orders}
    held |= {snapshot.listings[name].settlement_asset for name in symbols if name in snapshot.listings}
    return sorted(name for name in {*held, snapshot.reporting_asset} if name in snapshot.assets)


def _solve(
    resolved: Resolved, rulebook: Rulebook, accounts: Sequence[Account], snapshot: Snapshot
) -> tuple[Floats, dict[int, Failure]]:
    """Return each pool's equity [units] at which its initial headroom is 0, reporting asset, and the refusals."""
    funded, place = _with_cash(resolved)
    failures = dict(resolved.failures)

    def headroom(added: Floats, pegged: Sequence[_Pegged] = ()) -> Floats:
        evaluation = Evaluation(funded, rulebook, _moved(funded.legs.quantity, place, added, pegged))
        result = np.asarray(evaluation.adjusted(INITIAL) - evaluation.requirement(INITIAL))
        failures.update({k: v for k, v in evaluation.failures.items() if k not in failures})
        return result

    added = _least_cash(headroom, len(resolved.units))
    evaluation = Evaluation(resolved, rulebook)
    pegged = _pegged_balances(funded, np.asarray(Evaluation(funded, rulebook).measures["price"]), accounts, snapshot)
    if pegged:
        charged = _charged_loans(headroom, added, np.maximum(funded.legs.quantity[place], 0.0))
        if charged.any():
            other = _least_cash(lambda amount: headroom(amount, pegged), len(resolved.units))
            added = np.where(charged, other, added)
    return np.asarray(evaluation.equity()) + added, failures


@dataclass(frozen=True, slots=True)
class _Pegged:
    """One balance pegged to the reporting asset in each pool that holds one: its leg, the pool, and its price there."""

    leg: Ints
    unit: Ints
    price: Floats


def _moved(held: Floats, place: Ints, added: Floats, pegged: Sequence[_Pegged]) -> Floats:
    """Return the quantities with cash added, or taken: from the reporting balance, then `pegged`, then borrowed."""
    quantity, reporting = held.copy(), added.copy()
    missing = np.maximum(-added - np.maximum(held[place], 0.0), 0.0)
    for one in pegged:
        taken = np.minimum(missing[one.unit], held[one.leg] * one.price)
        quantity[one.leg] -= taken / one.price
        missing[one.unit] -= taken
        reporting[one.unit] += taken
    quantity[place] += reporting
    return quantity


def _pegged_balances(
    funded: Resolved, price: Floats, accounts: Sequence[Account], snapshot: Snapshot
) -> tuple[_Pegged, ...]:
    """Return what is held pegged to the pools' reporting assets, by turn: first each pool's first such balance."""
    c, legs, units, names = funded.contracts, funded.legs, funded.units, funded.names.assets
    held: dict[int, list[tuple[int, int]]] = {}  # by pool: (place in the account, leg)
    for leg in np.flatnonzero((c.kind[legs.contract] == ASSET) & (legs.quantity > 0)).tolist():
        unit, name = int(legs.unit[leg]), names[int(c.own_asset[legs.contract[leg]])]
        if _is_pegged(name, names[int(units.reporting[unit])], snapshot):
            order = list(accounts[int(units.account[unit])].balances)
            held.setdefault(unit, []).append((order.index(name) if name in order else len(order), leg))
    turns: list[list[tuple[int, int]]] = [[] for _ in range(max(map(len, held.values()), default=0))]
    for unit, balances in held.items():
        for turn, (_, leg) in zip(turns, sorted(balances), strict=False):
            turn.append((leg, unit))
    rows = [np.asarray(turn, dtype=np.int64) for turn in turns]
    return tuple(_Pegged(leg=pairs[:, 0], unit=pairs[:, 1], price=price[pairs[:, 0]]) for pairs in rows)


def _is_pegged(name: str, reporting: str, snapshot: Snapshot) -> bool:
    """Return whether an asset is pegged to the reporting asset, directly or through others."""
    seen = [name]
    while (quote := snapshot.assets.get(seen[-1])) is not None and quote.pegged_to and quote.pegged_to not in seen:
        seen.append(quote.pegged_to)
    return reporting in seen[1:]


def _charged_loans(headroom: Callable[[Floats], Floats], added: Floats, held: Floats) -> npt.NDArray[np.bool_]:
    """Return the pools whose loan takes more from headroom than the loan itself, or that no amount of cash balances."""
    found = np.isfinite(added)
    lent = np.where(found, -held - added, 0.0)
    loss = headroom(-held) - headroom(np.where(found, added, -held))
    return np.asarray(~found | ((lent > 0) & (loss - lent > _FREE * np.maximum(np.abs(loss), 1.0))))


def _least_cash(headroom: Callable[[Floats], Floats], units: int) -> Floats:
    """Return for each pool the least cash with which its headroom is not negative; NaN where none does.

    Headroom rises with cash, nearly always one for one, so the first guess is nearly always the answer.
    """
    start = headroom(np.zeros(units))
    guess = -start
    found = headroom(guess)
    scale = np.maximum(np.abs(start), 1.0)
    done = np.abs(found) <= _CLOSE * scale
    if done.all() or not np.isfinite(start).any():
        return np.where(done, guess, np.nan)
    # step away from the guess, ever farther, until headroom changes its sign
    enough, short, at_enough, at_short = guess.copy(), guess.copy(), found.copy(), found.copy()
    step = np.where(done, 0.0, np.maximum(np.abs(found), _CLOSE * scale))
    for _ in range(_STEPS):
        low, high = ~done & (at_enough < 0), ~done & (at_short >= 0)
        if not (low | high).any():
            break
        trial = np.where(low, enough + step, short - step)
        value = headroom(trial)
        enough, at_enough = np.where(low, trial, enough), np.where(low, value, at_enough)
        short, at_short = np.where(high, trial, short), np.where(high, value, at_short)
        step = step * 2.0
    bracketed = ~done & (at_enough >= 0) & (at_short < 0)
    solved = bisect(headroom, enough, short, at_enough, at_short, bracketed)
    return np.where(done, guess, np.where(bracketed, solved, np.nan))


def _with_cash(resolved: Resolved) -> tuple[Resolved, Ints]:
    """Return the book with a leg of the reporting asset in every pool, and where those legs are [units]."""
    legs, c, units = resolved.legs, resolved.contracts, resolved.units
    every = np.arange(len(units))
    asset_row = {int(c.own_asset[i]): int(i) for i in np.flatnonzero(c.kind == ASSET)}
    own = np.asarray([asset_row.get(int(code), -1) for code in units.reporting], dtype=np.int64)
    assert (own >= 0).all()  # the purse holds every reporting asset
    held = np.zeros(len(units), dtype=bool)
    held[legs.unit[legs.contract == own[legs.unit]]] = True
    new = every[~held]
    added = {
        "contract": own[new], "unit": new, "leverage": np.full(new.size, np.nan),
        "muted": np.zeros(new.size, dtype=bool),
    }  # fmt: skip
    columns = {
        f.name: np.concatenate([getattr(legs, f.name), added.get(f.name, np.zeros(new.size))]) for f in fields(Legs)
    }
    contract, unit = columns["contract"], columns["unit"]
    order = np.lexsort([contract, strike_key(c)[contract], expiry_key(c)[contract], unit, c.bucket[contract]])
    columns = {name: column[order] for name, column in columns.items()}
    contract, unit = columns["contract"], columns["unit"]
    place = np.zeros(len(units), dtype=np.int64)
    mine = np.flatnonzero(contract == own[unit])
    place[unit[mine]] = mine
    levels = make_levels(contract, unit, c, len(units))
    return replace(resolved, legs=Legs(**columns), levels=levels), place
