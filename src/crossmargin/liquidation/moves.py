"""The next thing that a procedure does: pure, from the pool as it stands and the memory of the case."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from fractions import Fraction
from math import ceil, isfinite, nan
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, TypeAlias

from crossmargin.errors import InputError
from crossmargin.liquidation.ends import ended, scope_of, slack_of
from crossmargin.liquidation.formulas import Amount, as_fraction
from crossmargin.liquidation.least import least
from crossmargin.liquidation.pools import Leg, Pool
from crossmargin.liquidation.scope import Scope

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from crossmargin.liquidation.case import Case
    from crossmargin.margin.procedure import Procedure, Step

__all__ = [
    "Desk",
    "Move",
    "amount_of",
    "buckets",
    "ended",
    "fees_of",
    "most_of",
    "next_move",
    "restoring",
    "scope_of",
    "scopes_of",
]

Trial: TypeAlias = Callable[["Move"], Pool]
"""The pool as it would stand after a move."""

Trials: TypeAlias = Callable[["Sequence[Move]"], "Sequence[Pool | InputError]"]

_ALL: Final = ""


@dataclass(frozen=True, slots=True, eq=False)
class Move:
    """What one step does to one leg.

    Parameters
    ----------
    amount
        In what the kind is counted: contracts, delta, a share, units of debt, money; >= 0.
    price
        In the pool's reporting money per unit; None: at the market. Of an exchange: collateral per unit of debt; of a
        share: money for everything.
    fees
        By owner: in the asset that the move pays in.
    sides
        Of an exchange: the debt and the collateral.
    """

    step: Step
    leg: Leg | None
    amount: Fraction
    price: Fraction | None
    fees: Mapping[str, Fraction]
    sides: Mapping[str, Leg] | None = None
    holder: str | None = None

    @property
    def about(self) -> str:
        """What it is done to, by name; empty for the whole account."""
        if self.sides is not None:
            return _pair_name(self.sides)
        return self.leg.name if self.leg else _ALL


@dataclass(frozen=True, slots=True)
class Desk:
    """What surrounds a procedure: its figures' world.

    Parameters
    ----------
    stated
        Inputs of the document, and figures that no assessment gives.
    steps
        Names of the steps that may run; None: all. A venue whose liquidators choose what they call is asked so.
    holder
        Whose legs the pool shows: None the account's own, else an owner who took them over; its steps run then.
    about
        Names of the legs (of an exchange ``DEBT/COLLATERAL``) that may be moved; None: all.
    trial
        What shows the pool after a move that is only tried; without it `restore` cannot be read.
    trials
        The same of many moves at once, of one that is refused why; None: they are tried one by one.
    exactly
        Whether formulas are computed on fractions.
    """

    stated: Mapping[str, Amount] | None = None
    steps: frozenset[str] | None = None
    about: frozenset[str] | None = None
    holder: str | None = None
    trial: Trial | None = None
    trials: Trials | None = None
    exactly: bool = False


def next_move(procedure: Procedure, pool: Pool, case: Case, desk: Desk) -> tuple[Move | None, Case]:
    """Return the next move of this round, and the case with what was asked on the way; None: the round is over.

    Steps run in listed order, legs in falling order of `rank`; a leg whose amount is not above 0 is passed by. The
    caller asks :func:`ended` before, and assesses again after each move.
    """
    for position in range(case.position, len(procedure.liquidation.steps)):
        step = procedure.liquidation.steps[position]
        if position != case.position:
            case = replace(case, position=position, passed=frozenset())
        if (desk.steps is not None and step.name not in desk.steps) or step.holder != desk.holder:
            continue
        for scope, name in scopes_of(procedure, step, pool, case, desk):
            case = replace(case, passed=case.passed | {name})
            found = _move(scope, step)
            if found is not None:
                return found, case
    return None, replace(case, position=len(procedure.liquidation.steps))


def _scopes(procedure: Procedure, step: Step, pool: Pool, case: Case, desk: Desk) -> Iterator[Scope]:
    """Yield where the step is asked: once, for each leg, or for each pair of debt and collateral."""
    plain = replace(scope_of(procedure, pool, case, desk), step=step.name)
    if step.over == "account" or step.do == "cancel":
        found: Iterator[Scope] = iter([plain])
    elif step.do == "exchange":
        debts = [leg for leg in pool.legs if "debt" in leg.words]
        held = [leg for leg in pool.legs if leg.terms.form == "asset" and "long" in leg.words and leg.fits(step.of)]
        found = (replace(plain, sides={"debt_": debt, "collateral_": one}) for debt in debts for one in held)
    else:
        moved = (leg for leg in pool.legs if _movable(leg, step))
        found = (replace(plain, leg=leg) for leg in (buckets(pool) if step.do == "hedge" else moved))
    for scope in found:
        name = _name_of(scope)
        if name not in case.passed and (desk.about is None or not name or name in desk.about):
            yield scope if step.window is None else replace(scope, window=float(scope.parameter(step.window)))


def _movable(leg: Leg, step: Step) -> bool:
    """Return whether a step may move a leg; balances only where `of` names them."""
    named = any("asset" in words for words in step.of)
    return leg.fits(step.of) and (leg.terms.form != "asset" or (named and step.do == "assume"))


def buckets(pool: Pool) -> Iterator[Leg]:
    """Yield one leg for each underlying: the first of it, called by the underlying's name."""
    seen: set[str] = set()
    for leg in pool.legs:
        bucket = leg.keys.get("bucket", leg.name)
        if bucket not in seen and leg.terms.form != "asset":
            seen.add(bucket)
            yield replace(leg, name=bucket)


def _ranked(scopes: Iterable[Scope], step: Step) -> list[Scope]:
    listed = list(scopes)
    if step.rank is None:
        return listed
    rank = step.rank
    return sorted(listed, key=lambda scope: -scope.number(rank))


def _name_of(scope: Scope) -> str:
    if scope.sides is not None:
        return _pair_name(scope.sides)
    return scope.leg.name if scope.leg else _ALL


def _pair_name(sides: Mapping[str, Leg]) -> str:
    return f"{sides['debt_'].name}/{sides['collateral_'].name}"


def scopes_of(procedure: Procedure, step: Step, pool: Pool, case: Case, desk: Desk) -> list[tuple[Scope, str]]:
    """Return where a step is asked, with `restore` at hand, and what each place is called."""
    listed = _ranked((_able(one, step, desk) for one in _scopes(procedure, step, pool, case, desk)), step)
    return [(scope, _name_of(scope)) for scope in listed]


def _able(scope: Scope, step: Step, desk: Desk) -> Scope:
    """Return the scope that can find the built-in amount, where something can be tried."""
    if desk.trial is None:
        return scope
    return replace(scope, restore=lambda: _restore(scope, step, desk))


def _move(scope: Scope, step: Step) -> Move | None:
    """Return what the step does here; None where its condition does not hold or its amount is not above 0."""
    if step.when is not None and not scope.holds(step.when):
        return None
    amount = amount_of(scope, step)
    return _made(scope, step, amount) if amount > 0 else None


def _made(scope: Scope, step: Step, amount: Fraction) -> Move:
    price = None if step.price is None else as_fraction(scope.number(step.price))
    at = price if price is not None or scope.leg is None else as_fraction(scope.leg.figures["price"])
    return Move(
        step=step,
        leg=scope.leg,
        amount=amount,
        price=price,
        fees=fees_of(scope, step, amount, at) if step.fees else {},
        sides=scope.sides,
        holder=step.holder,
    )


def fees_of(scope: Scope, step: Step, amount: Fraction, price: Fraction | None) -> dict[str, Fraction]:
    """Return a step's fees by who receives them, for an amount that is moved at a price."""
    told: dict[str, Amount] = {"moved": amount} if price is None else {"moved": amount, "filled_price": price}
    there = replace(scope, stated={**(scope.stated or {}), **told})
    return {owner: as_fraction(there.number(fee)) for owner, fee in step.fees.items()}


def amount_of(scope: Scope, step: Step) -> Fraction:
    """Return the amount of a step: of contracts in whole lots, up, and never more than are held."""
    most = most_of(scope, step)
    wanted: Amount = most if step.amount is None else scope.number(step.amount)
    if not isfinite(wanted):
        return most if wanted > 0 else Fraction(0)
    amount = as_fraction(wanted)
    if scope.leg is None or step.do not in {"close", "assume"}:
        return min(amount, most)
    least = as_fraction(scope.leg.figures["lot"]) if "lot" in scope.leg.figures else Fraction(0)
    if least > 0 and amount > 0:
        amount = ceil(amount / least) * least
    return min(amount, most)


def most_of(scope: Scope, step: Step) -> Fraction:
    """Return the largest amount that the kind allows."""
    if step.do == "cancel":
        done = scope.case.done if scope.case else ()
        return Fraction(not any(move.step == step.name for move in done))
    if step.over == "account" or step.do == "share":
        return Fraction(1)
    if scope.sides is not None:
        return abs(as_fraction(scope.sides["debt_"].figures["quantity"]))
    assert scope.leg is not None
    name = "pair" if step.pairs else _MOST.get(step.do, "contracts_held")
    found = scope.leg.figures.get(name)
    return abs(as_fraction(found)) if found is not None else Fraction(0)


_MOST: Final = MappingProxyType({"settle": "unsettled_pnl", "hedge": "bucket_delta"})
_GRID: Final = 20
_FINEST: Final = 2**30  # parts of a place of the grid


def _restore(scope: Scope, step: Step, desk: Desk) -> Fraction:
    """Return the built-in amount: the least share that restores; 1 where none does."""
    found = restoring(scope, step, desk)
    return Fraction(1) if found is None else found


def restoring(scope: Scope, step: Step, desk: Desk) -> Fraction | None:
    """Return the least share after which `until` holds, by a grid and then finer; None where no share does.

    Closing costs make headroom rise and then fall: what looks between two ends alone would miss what a grid sees.
    """
    trials = _Trials(scope, step, desk)
    grid = [Fraction(i, _GRID) for i in range(1, _GRID + 1)]
    trials.look(grid)
    high = next((share for share in grid if trials.enough(share)), None)
    if high is None:
        return None
    low = high - Fraction(1, _GRID)

    def share(place: int) -> Fraction:
        return low + Fraction(place, _GRID * _FINEST)

    return share(
        least(
            0,
            _FINEST,
            lambda place: trials.enough(share(place)),
            lambda place: trials.slack(share(place)),
            lambda places: trials.look([share(place) for place in places]),
        )
    )


class _Trials:
    """Shares of one step on one leg that were tried; nothing of it is the pool as it stands."""

    def __init__(self, scope: Scope, step: Step, desk: Desk) -> None:
        self.scope, self.step, self.desk = scope, step, desk
        self.most = most_of(scope, step)
        self.known: dict[Fraction, Pool | InputError] = {Fraction(0): scope.pool}

    def look(self, shares: Sequence[Fraction]) -> None:
        """Try shares together, where that can be done: they may be asked for next."""
        wanted = [share for share in shares if share not in self.known]
        if self.desk.trials is not None and wanted:
            self.known |= zip(wanted, self.desk.trials([self.move(share) for share in wanted]), strict=True)

    def pool(self, share: Fraction) -> Pool:
        """Return the pool after a share; raises why it cannot be assessed."""
        if share not in self.known:
            assert self.desk.trial is not None
            self.known[share] = self.desk.trial(self.move(share))
        found = self.known[share]
        if isinstance(found, InputError):
            raise found
        return found

    def enough(self, share: Fraction) -> bool:
        """Return whether `until` holds after a share."""
        assert self.scope.case is not None
        return ended(self.scope.procedure, self.pool(share), self.scope.case, self.desk)

    def slack(self, share: Fraction) -> float:
        """Return by how much `until` holds after a share; NaN where it cannot be said."""
        assert self.scope.case is not None
        try:
            return slack_of(self.scope.procedure, self.pool(share), self.scope.case, self.desk)
        except InputError:
            return nan

    def move(self, share: Fraction) -> Move:
        """Return the step with this share of what it could move."""
        return _made(replace(self.scope, restore=lambda: share), self.step, share * self.most)
