"""The terms of many instruments in columns, made once: from tick to tick only quotes change."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from math import nan
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from msgspec.structs import astuple

from crossmargin.errors import InputError
from crossmargin.instruments import ContractKind, Instrument, OptionType, check_terms
from crossmargin.margin.quotes import KINDS
from crossmargin.market import Listing

if TYPE_CHECKING:
    from datetime import datetime

    import numpy.typing as npt

    from crossmargin.margin.model import Rulebook

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]
    Flags = npt.NDArray[np.bool_]

__all__ = ["ContractTerms", "columns_of"]

_FIELDS: Final = Listing.__struct_fields__
_TERMS: Final = tuple(name for name in Instrument.__struct_fields__ if name != "symbol")
_terms_of: Final = attrgetter(*_TERMS)
_FORMS: Final = tuple(ContractKind)


@dataclass(frozen=True, slots=True, eq=False)
class ContractTerms(Mapping[str, Listing]):
    """Instruments by symbol as they were listed then, and what their terms give, in columns [instruments].

    `sound` marks terms that make one well-defined contract; the columns of others mean nothing. `form` points into
    the forms of a contract, `expiry_place` into `expiries` (the last of which is none), `settle_asset`, `quote_asset`
    and `own_asset` into `assets`. `as_listed` holds the attributes themselves, to see whether they still stand.
    """

    listings: Mapping[str, Listing]
    as_listed: Mapping[str, list[Any]]
    sound: Flags
    kind: Ints
    form: Ints
    call: Flags
    multiplier: Floats
    strike: Floats
    expiry: Ints
    expiries: tuple[datetime, ...]
    expiry_place: Ints
    assets: tuple[str, ...]
    settle_asset: Ints
    quote_asset: Ints
    own_asset: Ints

    @classmethod
    def of(cls, listings: Mapping[str, Listing]) -> ContractTerms:
        """Return the terms of instruments; what is prepared already comes back as it is."""
        if isinstance(listings, cls):
            return listings
        listed = columns_of(listings.values())
        sound = [_is_sound(listing) for listing in listings.values()]
        expiry = [moment if good else None for moment, good in zip(listed["expiry"], sound, strict=True)]
        expiries = _places(moment for moment in expiry if moment is not None)
        strike = [price if good else None for price, good in zip(listed["strike"], sound, strict=True)]
        owners = ("settlement_asset", "quote_asset", "underlying")
        assets = _places(chain.from_iterable(listed[name] for name in owners))
        settle, quote, own = (_ints(assets[name] for name in listed[owner]) for owner in owners)
        return cls(
            listings=dict(listings),
            as_listed={name: listed[name] for name in _TERMS},
            sound=np.asarray(sound, dtype=bool),
            kind=_ints(KINDS[kind] if good else -1 for kind, good in zip(listed["kind"], sound, strict=True)),
            form=_ints(_FORMS.index(form) if good else 0 for form, good in zip(listed["contract"], sound, strict=True)),
            call=np.asarray([call == OptionType.CALL for call in listed["option_type"]], dtype=bool),
            multiplier=np.asarray(listed["multiplier"], dtype=np.float64),
            strike=np.asarray([nan if price is None else price for price in strike], dtype=np.float64),
            expiry=_ints(0 if moment is None else int(moment.timestamp()) for moment in expiry),
            expiries=tuple(expiries),
            expiry_place=_ints(len(expiries) if moment is None else expiries[moment] for moment in expiry),
            assets=tuple(assets),
            settle_asset=settle,
            quote_asset=quote,
            own_asset=own,
        )

    def __getitem__(self, symbol: str) -> Listing:
        return self.listings[symbol]

    def __iter__(self) -> Iterator[str]:
        return iter(self.listings)

    def __len__(self) -> int:
        return len(self.listings)

    def standing(self, listed: Mapping[str, list[Any]]) -> Flags:
        """Return which instruments are sound and, in freshly listed columns, have the terms that stand here."""
        standing = self.sound.copy()
        for name, before in self.as_listed.items():
            if listed[name] != before:
                standing &= [a is b or a == b for a, b in zip(listed[name], before, strict=True)]
        return standing

    def restated(self, listings: Mapping[str, Listing], symbols: Iterable[str]) -> dict[str, Listing]:
        """Return the listings of some instruments that are sound and of other terms than stand here."""
        found = ((symbol, listings.get(symbol)) for symbol in symbols)
        return {
            symbol: listing
            for symbol, listing in found
            if listing is not None and _terms_of(listing) != _terms_of(self[symbol]) and _is_sound(listing)
        }

    def covered(self, rulebook: Rulebook) -> Flags:
        """Return which instruments are of a kind and a form that the rulebook covers."""
        kinds = np.zeros(max(KINDS.values()) + 2, dtype=bool)  # the last: of no kind
        kinds[[code for kind, code in KINDS.items() if kind in rulebook.scope]] = True
        forms = np.asarray([form in rulebook.contracts for form in _FORMS], dtype=bool)
        return np.asarray(kinds[self.kind] & forms[self.form])


def columns_of(listings: Iterable[Listing]) -> dict[str, list[Any]]:
    """Return the attributes of listings by name, each a list in the listings' order."""
    rows = list(listings)
    one = set(map(type, rows)) <= {Listing}  # a class derived from it may have its fields in another order
    flat: list[Any] = []
    for row in map(astuple if one else attrgetter(*_FIELDS), rows):
        flat += row  # a row at a time and slices: half of what zip takes
    return {name: flat[place :: len(_FIELDS)] for place, name in enumerate(_FIELDS)}


def _is_sound(listing: Listing) -> bool:
    try:
        check_terms(listing)
    except InputError:
        return False
    return listing.kind in KINDS and listing.contract in _FORMS


def _places(values: Iterable[Any]) -> dict[Any, int]:
    return {value: place for place, value in enumerate(dict.fromkeys(values))}


def _ints(values: Iterable[int]) -> Ints:
    return np.fromiter(values, dtype=np.int64)
