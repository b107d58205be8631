"""The quotes of many instruments read at once, as far as they are plain.

Plain is what is stated whole and in bounds. Everything else is left to :class:`crossmargin.margin.quotes.QuoteReader`,
which reads one instrument after the other and alone knows what is refused, in which words, and what stands in for what
is missing. So a bound here may be narrower than the reader's, never wider.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from itertools import compress
from math import nan
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from crossmargin.errors import InputError
from crossmargin.instruments import ContractKind
from crossmargin.margin.quotes import UNUSUAL_VOL
from crossmargin.margin.terms import columns_of
from crossmargin.market import Confidence, asset_root
from crossmargin.scenarios import OPTION
from crossmargin.units import years_between

if TYPE_CHECKING:
    from datetime import datetime

    import numpy.typing as npt

    from crossmargin.margin.quotes import QuoteReader
    from crossmargin.margin.terms import ContractTerms

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]
    Flags = npt.NDArray[np.bool_]

__all__ = ["PlainQuotes", "read_plain"]

_ABOVE_0: Final = 5e-324  # the least number above 0
_MOST: Final = float(np.finfo(np.float64).max)
_LEAST: Final = {
    "mark_price": 0.0,  # above 0 unless it is an option's
    "index_price": _ABOVE_0,
    "forward_price": _ABOVE_0,
    "fixed_forward": 0.0,
    "rate": -_MOST,
    "mark_iv": 0.0,
    "bid": 0.0,
    "ask": 0.0,
    "funding_rate": -_MOST,
    "open_interest": 0.0,
    "skew": -_MOST,
    "volume": 0.0,
    "stable_price": _ABOVE_0,
    "twap": _ABOVE_0,
    "max_price": _ABOVE_0,
    "delivery_price": 0.0,
}
_LEAST_COLUMN: Final = np.asarray(list(_LEAST.values()))[:, None]


@dataclass(frozen=True, slots=True)
class PlainQuotes:
    """Columns [instruments] by the names of :class:`crossmargin.margin.quotes.QuoteRow`; they hold where `plain`."""

    plain: Flags
    columns: dict[str, Any]


def read_plain(terms: ContractTerms, reader: QuoteReader) -> PlainQuotes:
    """Return what the snapshot's quotes of these instruments give, and which of them are plain."""
    listings = reader.snapshot.listings
    quotes = columns_of(map(listings.get, terms, terms.listings.values()))  # unlisted ones stand as they were
    plain = terms.standing(quotes) & terms.covered(reader.rulebook)
    if not listings.keys() >= terms.listings.keys():
        plain &= [symbol in listings for symbol in terms]
    plain &= _of_age(quotes["observed_at"], reader)
    numbers, stated = _numbers(quotes)
    confidence = _confidence(quotes["confidence"])
    with np.errstate(all="ignore"):
        columns = _columns(terms, numbers, _Assets.of(terms, reader), _years(terms, reader))
        plain &= stated & (confidence >= 0) & (confidence <= 1) & _whole(columns)
    return PlainQuotes(plain, columns | {"confidence": confidence})


def _numbers(quotes: dict[str, list[Any]]) -> tuple[dict[str, Floats], Flags]:
    """Return the columns of numbers, NaN where none is stated, and which instruments state no impossible one."""
    count = len(quotes["mark_price"])
    nothing = [None] * count
    numbers = np.empty((len(_LEAST), count))
    stated = np.ones(count, dtype=bool)
    for row, name in zip(numbers, _LEAST, strict=True):
        values = quotes[name]
        if values == nothing:
            row.fill(nan)
            continue
        try:
            row[:] = _packed(values)
            stated &= ~np.isnan(row)
        except struct.error:  # None is among them
            row[:] = _packed([nan if value is None else value for value in values])
            unknown = np.isnan(row)
            if set(compress(values, unknown.tobytes())) != {None}:
                stated &= ~unknown | [value is None for value in values]
    stated &= ~((numbers < _LEAST_COLUMN) | (numbers > _MOST)).any(axis=0)
    return dict(zip(_LEAST, numbers, strict=True)), stated


def _confidence(values: list[Any]) -> Floats:
    """Return the least trusted feed of each quote; NaN where none is stated."""
    try:
        return _packed(values)
    except struct.error:
        return _packed([value.least() if isinstance(value, Confidence) else value for value in values])


def _packed(values: list[Any]) -> Floats:
    """Return a list of numbers as a column; packing takes half as long as NumPy's own way."""
    return np.frombuffer(struct.pack(f"{len(values)}d", *values))


def _of_age(observed: list[datetime | None], reader: QuoteReader) -> Any:  # noqa: ANN401 - flags, or one for all
    """Return which quotes were observed near enough to the snapshot's moment."""
    limit, as_of = reader.guard.max_age_seconds, reader.snapshot.as_of
    seen = [moment for moment in observed if moment is not None]
    if limit is None or not seen:
        return True
    try:
        if not any(abs((as_of - moment).total_seconds()) > limit for moment in (min(seen), max(seen))):
            return True
        return [moment is None or not abs((as_of - moment).total_seconds()) > limit for moment in observed]
    except TypeError:  # some have a zone, some have none
        return [moment is None for moment in observed]


def _years(terms: ContractTerms, reader: QuoteReader) -> Floats:
    as_of = reader.snapshot.as_of
    return np.asarray([*(years_between(as_of, moment) for moment in terms.expiries), nan])[terms.expiry_place]


@dataclass(frozen=True, slots=True)
class _Assets:
    """What the snapshot says of each of the terms' assets; NaN and -1 where it refuses to say.

    `index` is the price that stands in for a missing index.
    """

    rate: Floats
    index: Floats
    root: Ints
    root_rate: Floats

    @classmethod
    def of(cls, terms: ContractTerms, reader: QuoteReader) -> _Assets:
        rate = np.asarray([_or_none(reader.asset_price, name) for name in terms.assets], dtype=np.float64)
        root = [_or_none(asset_root, name, reader.snapshot.assets) for name in terms.assets]
        place = {name: n for n, name in enumerate(root) if name is not None}
        quoted = [name in reader.snapshot.assets for name in terms.assets]
        return cls(
            rate=rate,
            index=np.where(quoted, rate, nan),
            root=np.asarray([place.get(name, -1) for name in root], dtype=np.int64),
            root_rate=np.asarray([nan if x is None else reader.root_price(x) for x in root], dtype=np.float64),
        )


def _or_none(read: Any, *of: object) -> Any:  # noqa: ANN401 - whatever is read
    try:
        return read(*of)
    except InputError:
        return None


def _columns(terms: ContractTerms, q: dict[str, Floats], assets: _Assets, years: Floats) -> dict[str, Any]:
    option, mark, unquoted = terms.kind == OPTION, q["mark_price"], np.full(len(terms), nan)
    settle_root, root = assets.root[terms.settle_asset], assets.root[terms.own_asset]
    quote_rate = assets.rate[terms.quote_asset]
    index = np.where(np.isnan(q["index_price"]), assets.index[terms.own_asset] / quote_rate, q["index_price"])
    return {
        "kind": terms.kind,
        "inverse": terms.form == _FORM[ContractKind.INVERSE],
        "quanto": terms.form == _FORM[ContractKind.QUANTO],
        "call": terms.call,
        "multiplier": terms.multiplier,
        "strike": terms.strike,
        "years": years,
        "expiry": terms.expiry,
        "mark": mark,
        "index": index,
        "forward": np.where(option, q["forward_price"], mark),
        "fixed_forward": q["fixed_forward"],
        "iv": np.where(option, q["mark_iv"], nan),
        "rate": _or_0(q["rate"]),
        "quote_rate": quote_rate,
        "settle_rate": np.where((settle_root < 0) | (root < 0), nan, assets.rate[terms.settle_asset]),
        "root_rate": assets.root_rate[terms.own_asset],
        "coin_settled": settle_root == root,
        "linked": np.zeros(len(terms), dtype=bool),
        "stable_ratio": _ratio(q["stable_price"], mark),
        "twap_ratio": _ratio(q["twap"], mark),
        "funding_rate": _or_0(q["funding_rate"]),
        "open_interest": q["open_interest"],
        "skew": q["skew"],
        "volume": q["volume"],
        "max_price": q["max_price"],
        "deposits": unquoted,
        "borrows": unquoted,
    }


_FORM: Final = {form: code for code, form in enumerate(ContractKind)}


def _whole(columns: dict[str, Any]) -> Flags:
    """Return which instruments miss nothing that another quote would have to stand in for, and raise no doubt."""
    option = columns["kind"] == OPTION
    alive = ~(columns["years"] <= 0)  # what never expires is
    priced = np.where(option, columns["mark"] >= 0, columns["mark"] > 0) & ~np.isnan(columns["index"])
    converted = ~(np.isnan(columns["quote_rate"]) | np.isnan(columns["settle_rate"]))
    modelled = ~option | ((columns["iv"] <= UNUSUAL_VOL) & ~np.isnan(columns["forward"]))
    return np.asarray(alive & priced & converted & modelled)


def _or_0(values: Floats) -> Floats:
    return np.where(np.isnan(values), 0.0, values + 0.0)  # minus nothing is nothing


def _ratio(slow: Floats, mark: Floats) -> Floats:
    """Return a slow price over the mark; 1 where none is stated. An option may be marked at 0."""
    return np.where(np.isnan(slow) | (mark == 0), 1.0, slow / mark)
