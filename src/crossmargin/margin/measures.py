"""The columns that formulas read: one array [legs] for each measure, money in each leg's pool's reporting asset.

Everything held is linear in `quantity`, so the same lines run on plain and on traced columns.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from crossmargin.margin.exact_number import exact_column
from crossmargin.pricing.greeks import greeks
from crossmargin.scenarios import ASSET, FUTURE, OPTION, PERPETUAL, SPOT
from crossmargin.units import DAYS_PER_YEAR

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy.typing as npt

    from crossmargin.margin.resolved import Resolved

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]
    Flags = npt.NDArray[np.bool_]

_KIND_WORDS = {"spot": SPOT, "perpetual": PERPETUAL, "future": FUTURE, "option": OPTION, "asset": ASSET}

# contract columns that are read as they are stated
_STATED = ("years", "iv", "rate", "funding_rate", "open_interest", "skew", "twap_ratio", "stable_ratio", "volume")
_AS_STATED = {**{name: name for name in (*_STATED, "deposits", "borrows")}, "quote_confidence": "confidence"}

# what no quantity enters (an entry price is the mean of what is held)
_OF_CONTRACTS = frozenset(
    {
        *("own_coin", "money_rate", "settle_rate", "numeraire", "stable_price", "price", "index", "forward"),
        *("strike", "otm", "days", "max_price", "unit_delta", "margined", *_AS_STATED),
    }
)


class Measures:
    """Leg columns, each made on first use.

    Parameters
    ----------
    quantity
        [legs] signed contracts, plain or traced.
    functions
        The functions that go with it (`abs`, `max`).
    shared
        Where columns that no quantity enters are kept, for other evaluations of the same contracts and legs.
    """

    def __init__(
        self,
        resolved: Resolved,
        quantity: Any,  # noqa: ANN401 - plain or traced
        functions: Mapping[str, Callable[..., Any]],
        shared: dict[Any, Any] | None = None,
    ) -> None:
        self.resolved = resolved
        self.contracts_held = quantity
        self._functions = functions
        self._exact = resolved.contracts.mark.dtype.hasobject
        self._kept: dict[str, Any] = {}
        self._words: dict[str, Flags] = {}
        self._shared: dict[Any, Any] = {} if shared is None else shared
        self._intensive: dict[str, Any] = self._shared.setdefault("measures", {})

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401 - plain or traced
        """Return the column of one measure."""
        kept = self._intensive if name in _OF_CONTRACTS else self._kept
        if name not in kept:
            stated = _AS_STATED.get(name)
            column = self.of_contract(stated) if stated else getattr(self, f"_{name}")()
            kept[name] = exact_column(column) if self._exact and column.dtype.hasobject else column
        return kept[name]

    def of_contract(self, column: str) -> Any:  # noqa: ANN401 - numbers, codes or flags
        """Return a contract column by leg."""
        return getattr(self.resolved.contracts, column)[self.resolved.legs.contract]

    def of_unit(self, column: npt.NDArray[Any]) -> Any:  # noqa: ANN401 - numbers or codes
        """Return a pool column by leg."""
        return column[self.resolved.legs.unit]

    # --- what one contract is: intensive

    def _own_coin(self) -> npt.NDArray[np.bool_]:
        """Return where an inverse contract is stated in its own settlement coin: there one unit is worth 1."""
        own = self.of_contract("settle_asset") == self.of_unit(self.resolved.units.reporting)
        return np.asarray(self.of_contract("inverse") & own)

    def _money_rate(self) -> Floats:
        """Return the pool's reporting asset per unit of the contract's price."""
        rate = self.of_contract("money_rate") / self["numeraire"]
        return np.asarray(np.where(self["own_coin"], 1.0 / self.of_contract("index"), rate))

    def _settle_rate(self) -> Floats:
        return np.asarray(self.of_contract("settle_rate") / self["numeraire"])

    def _numeraire(self) -> Floats:
        return np.asarray(self.of_unit(self.resolved.units.numeraire))

    _stable_price = _numeraire

    def _price(self) -> Floats:
        mark, kind = self.of_contract("mark"), self.of_contract("kind")
        coin_option = self.of_contract("inverse") & (kind == OPTION)
        price = np.where(coin_option, mark * self["settle_rate"], mark * self["money_rate"])
        return np.where(self["own_coin"] & (kind != OPTION), 1.0, price)

    def _index(self) -> Floats:
        return np.where(self["own_coin"], 1.0, self.of_contract("index") * self["money_rate"])

    def _forward(self) -> Floats:
        return np.asarray(self.of_contract("forward") * self["money_rate"])

    def _strike(self) -> Floats:
        return np.asarray(self.of_contract("strike") * self["money_rate"])

    def _otm(self) -> Floats:
        away = np.where(self.of_contract("call"), 1.0, -1.0) * (self["strike"] - self["index"])
        return np.where(self.of_contract("kind") == OPTION, np.maximum(away, 0.0), np.nan)

    def _entry_price(self) -> Any:  # noqa: ANN401 - plain or recorded
        legs, option, when = self.resolved.legs, self.of_contract("kind") == OPTION, self._functions["when"]
        with np.errstate(divide="ignore", invalid="ignore"):
            mean = legs.cost / legs.quantity
            entry = when(self.of_contract("inverse") & ~option, 1.0 / mean, mean)
        flat = self._functions["equal"](legs.quantity, 0.0)
        entry = when(flat, self.of_contract("mark"), entry)  # an order fills at the mark
        coin_option = self.of_contract("inverse") & option
        entry = entry * np.where(coin_option, self["settle_rate"], self["money_rate"])
        return when(self["margined"] | option, entry, np.nan)

    def _leverage(self) -> Floats:
        return self.resolved.legs.leverage

    def _days(self) -> Floats:
        return np.asarray(self["years"] * DAYS_PER_YEAR)

    def _max_price(self) -> Floats:
        return np.asarray(self.of_contract("max_price") * self["money_rate"])

    def _margined(self) -> npt.NDArray[np.bool_]:
        kind = self.of_contract("kind")
        return np.asarray((kind != OPTION) & (kind != ASSET) & (kind != SPOT))

    # --- what is held: extensive

    def _contracts(self) -> Any:  # noqa: ANN401 - plain or traced
        return self.contracts_held

    def _quantity(self) -> Any:  # noqa: ANN401 - plain or traced
        return self.contracts_held * self.of_contract("units_per_contract")

    def _long(self) -> Any:  # noqa: ANN401 - plain or traced
        return self._functions["max"](self["quantity"], 0.0)

    def _short(self) -> Any:  # noqa: ANN401 - plain or traced
        return self._functions["max"](-self["quantity"], 0.0)

    def _notional(self) -> Any:  # noqa: ANN401 - plain or traced
        price = np.where(self.of_contract("kind") == OPTION, self["index"], self["price"])
        return self._functions["abs"](self["quantity"]) * price

    def _pnl(self) -> Any:  # noqa: ANN401 - plain or traced
        legs = self.resolved.legs
        mark, multiplier = self.of_contract("mark"), self.of_contract("multiplier")
        inverse, margined = self.of_contract("inverse"), self["margined"]
        when, held = self._functions["when"], self._functions["not_equal"](legs.quantity, 0.0)
        level = np.where(inverse, 1.0 / np.where(margined, mark, 1.0), mark)
        # gain per contract at its average entry (an order fills at the mark); what a flat leg has realised between
        # its fills is constant
        mean = when(held, legs.cost / when(held, legs.quantity, 1.0), level)
        per_contract = multiplier * when(inverse, mean - level, level - mean)
        flat = when(held, 0.0, multiplier * when(inverse, legs.cost, -legs.cost))
        gain = self.contracts_held * when(margined, per_contract, 0.0) + when(margined, flat, 0.0)
        return (gain + legs.accrued) * self["settle_rate"]

    def _mark_value(self) -> Any:  # noqa: ANN401 - plain or traced
        return self["quantity"] * np.where(self["margined"], 0.0, self["price"])

    def _bids(self) -> Any:  # noqa: ANN401 - plain or traced
        return self.resolved.legs.bids * self.of_contract("units_per_contract")

    def _asks(self) -> Any:  # noqa: ANN401 - plain or traced
        return -self.resolved.legs.asks * self.of_contract("units_per_contract")

    def _bid_value(self) -> Any:  # noqa: ANN401 - plain or traced
        legs = self.resolved.legs
        return self._at_limits(legs.bids, legs.bid_cost)

    def _ask_value(self) -> Any:  # noqa: ANN401 - plain or traced
        legs = self.resolved.legs
        return -self._at_limits(legs.asks, legs.ask_cost)

    def _at_limits(self, contracts: Any, cost: Any) -> Any:  # noqa: ANN401 - plain or traced
        """Return orders at their limit prices; an inverse contract is worth its quote units, in coins by the price."""
        margined_inverse = self.of_contract("inverse") & self["margined"]
        counted = margined_inverse & ~self["own_coin"]
        rate = np.where(self["own_coin"], 1.0, self["money_rate"])
        option = self.of_contract("inverse") & ~self["margined"]
        rate = np.where(option, self["settle_rate"], rate) * self.of_contract("multiplier")
        return (contracts * np.where(counted, 1.0, 0.0) + cost * np.where(counted, 0.0, 1.0)) * rate

    def _order_count(self) -> Any:  # noqa: ANN401 - plain or traced
        return self.resolved.legs.orders

    def _equity(self) -> Any:  # noqa: ANN401 - plain or traced
        """Return the standard equity by leg: balances, mark value of options and spot, P&L of margined contracts."""
        return self["mark_value"] + self["pnl"]

    def _delta(self) -> Any:  # noqa: ANN401 - plain or traced
        return self["quantity"] * self["unit_delta"]

    def _delta_value(self) -> Any:  # noqa: ANN401 - plain or traced
        return self["delta"] * self["index"]

    def _unit_delta(self) -> Floats:
        """Return delta of one unit of quantity; in its own coin an inverse option's is premium-adjusted."""
        kind = self.of_contract("kind")
        unit = np.ones(kind.shape[0], dtype=self.resolved.contracts.mark.dtype)
        coin_held = (kind == ASSET) & (self.of_contract("settle_asset") == self.of_unit(self.resolved.units.reporting))
        unit[coin_held] = 0.0  # the reporting asset bears no risk in itself
        balances = (kind == ASSET) & ~coin_held
        unit[balances] = (self.of_contract("mark") / self.of_contract("root_rate"))[balances]
        option = kind == OPTION
        if option.any():
            table = self.contract_greeks()
            unit[option] = (table.delta - np.where(self._own_coin_contracts(), table.value, 0.0))[self._option_of_leg()]
        return unit

    def _own_coin_contracts(self) -> npt.NDArray[np.bool_]:
        c = self.resolved.contracts
        options = c.kind == OPTION
        return np.asarray(c.inverse[options] & self.resolved.in_settlement)

    def _option_of_leg(self) -> npt.NDArray[np.int64]:
        rank = np.cumsum(self.resolved.contracts.kind == OPTION) - 1
        contract = self.resolved.legs.contract
        return np.asarray(rank[contract[self.of_contract("kind") == OPTION]], dtype=np.int64)

    def contract_greeks(self) -> Any:  # noqa: ANN401 - the pricing room's tuple
        """Return Greeks of one unit of each option contract, by forward; `value` as a share of the forward."""
        key = ("greeks",)
        if key not in self._shared:
            c = self.resolved.contracts
            o = c.kind == OPTION
            found = greeks(c.forward[o], c.strike[o], c.iv[o], c.years[o], c.call[o])
            self._shared[key] = found._replace(value=found.value / c.forward[o])
        return self._shared[key]

    def _greek(self, values: Floats) -> Any:  # noqa: ANN401 - plain or traced
        """Return quantity times a per-unit Greek in reporting asset; 0 off options."""
        out = np.zeros(self.resolved.legs.contract.shape[0])
        option = self.of_contract("kind") == OPTION
        # a coin-settled option pays coins worth the index each: its share of the forward is converted at the index
        c = self.resolved.contracts
        share = np.where(c.inverse, c.index / c.forward, 1.0)
        out[option] = values[self._option_of_leg()]
        return self["quantity"] * out * share[self.resolved.legs.contract] * self["money_rate"]

    def _vega(self) -> Any:  # noqa: ANN401 - plain or traced
        return self._greek(self.contract_greeks().vega)

    def _theta(self) -> Any:  # noqa: ANN401 - plain or traced
        return self._greek(self.contract_greeks().theta)

    def _rho(self) -> Any:  # noqa: ANN401 - plain or traced
        return self._greek(self.contract_greeks().rho)

    def _gamma(self) -> Any:  # noqa: ANN401 - plain or traced
        out = np.zeros(self.resolved.legs.contract.shape[0])
        option = self.of_contract("kind") == OPTION
        out[option] = self.contract_greeks().gamma[self._option_of_leg()]
        return self["quantity"] * out / self["money_rate"]

    # --- selection words

    def word(self, word: str) -> npt.NDArray[np.bool_]:
        """Return which legs a word of `of` selects; declared tags are the frames' business."""
        if word not in self._words:
            kind = self.of_contract("kind")
            chosen = kind == _KIND_WORDS[word] if word in _KIND_WORDS else getattr(self, f"_is_{word}")(kind)
            self._words[word] = np.asarray(chosen)
        return self._words[word]

    def _is_call(self, kind: Ints) -> Flags:
        return np.asarray((kind == OPTION) & self.of_contract("call"))

    def _is_put(self, kind: Ints) -> Flags:
        return np.asarray((kind == OPTION) & ~self.of_contract("call"))

    def _is_long(self, _kind: Ints) -> Flags:
        return np.asarray(self._functions["greater"](self.contracts_held, 0.0))

    def _is_short(self, _kind: Ints) -> Flags:
        return np.asarray(self._functions["less"](self.contracts_held, 0.0))

    def _is_inverse(self, _kind: Ints) -> Flags:
        return np.asarray(self.of_contract("inverse"))

    def _is_quanto(self, _kind: Ints) -> Flags:
        return np.asarray(self.of_contract("quanto"))

    def _is_linear(self, kind: Ints) -> Flags:
        return np.asarray((kind != ASSET) & ~self.of_contract("inverse") & ~self.of_contract("quanto"))

    def _is_cash(self, kind: Ints) -> Flags:
        own = self.of_contract("settle_asset") == self.of_unit(self.resolved.units.reporting)
        return np.asarray((kind == ASSET) & own)

    def _is_coin(self, kind: Ints) -> Flags:
        return np.asarray((kind == ASSET) & ~self._is_cash(kind))

    def _is_isolated(self, _kind: Ints) -> Flags:
        return np.asarray(self.of_unit(self.resolved.units.isolated))

    def _is_debt(self, kind: Ints) -> Flags:
        return np.asarray((kind == ASSET) & self._functions["less"](self.contracts_held, 0.0))
