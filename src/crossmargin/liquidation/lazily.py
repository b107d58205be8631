"""Mappings that make what is asked for: an account holds few of the listed instruments, a step reads few figures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from crossmargin.instruments import InstrumentKind
from crossmargin.liquidation.formulas import Amount, as_fraction
from crossmargin.liquidation.pools import Leg, Terms

if TYPE_CHECKING:
    from crossmargin.market import Listing

__all__ = ["AllTerms", "Made", "OfRow", "terms_of"]


def terms_of(listing: Listing) -> Terms:
    """Return what changes hands when contracts of an instrument do."""
    paid_at_once = listing.kind in {InstrumentKind.OPTION, InstrumentKind.SPOT}
    return Terms(
        settles_in=listing.settlement_asset,
        multiplier=as_fraction(listing.multiplier),
        form="premium" if paid_at_once else "inverse" if listing.contract == "inverse" else "linear",
        mark=as_fraction(listing.mark_price if listing.mark_price is not None else 0.0),
    )


class AllTerms(Mapping[str, Terms]):
    """The terms of every listing, each made when it is asked for: an account holds few of them."""

    def __init__(self, listings: Mapping[str, Listing]) -> None:
        self.listings = listings
        self._made: dict[str, Terms] = {}

    def __getitem__(self, name: str) -> Terms:
        """Return the terms of an instrument; raises KeyError for one that is not listed."""
        if name not in self._made:
            self._made[name] = terms_of(self.listings[name])
        return self._made[name]

    def __contains__(self, name: object) -> bool:
        """Return whether it is listed."""
        return name in self.listings

    def __iter__(self) -> Iterator[str]:
        """Yield every instrument."""
        return iter(self.listings)

    def __len__(self) -> int:
        """Return how many are listed."""
        return len(self.listings)


class OfRow(Mapping[str, "Callable[[], Amount]"]):
    """What makes the figures of one leg: those of its row, which all legs share, and its own."""

    def __init__(
        self, shared: Mapping[str, Callable[[int], Amount]], row: int, own: Mapping[str, Callable[[], Amount]]
    ) -> None:
        self._shared, self._row, self._own = shared, row, own

    def __getitem__(self, name: str) -> Callable[[], Amount]:
        """Return what makes a figure; raises KeyError for a name that there is not."""
        return self._own[name] if name in self._own else partial(self._shared[name], self._row)

    def __contains__(self, name: object) -> bool:
        """Return whether there is such a figure."""
        return name in self._own or name in self._shared

    def __iter__(self) -> Iterator[str]:
        """Yield every name once."""
        yield from {**self._shared, **self._own}

    def __len__(self) -> int:
        """Return how many there are."""
        return len({**self._shared, **self._own})


class Made(Sequence[Leg]):
    """The legs of some rows, made when the first is asked for: of most pools only figures are."""

    def __init__(self, rows: Sequence[int], make: Callable[[int], Leg]) -> None:
        self._rows, self._make = rows, make

    @cached_property
    def _all(self) -> tuple[Leg, ...]:
        return tuple(self._make(row) for row in self._rows)

    def __getitem__(self, place: Any) -> Any:  # noqa: ANN401 - a leg, or a tuple of them
        """Return one leg, or some."""
        return self._all[place]

    def __iter__(self) -> Iterator[Leg]:
        """Yield every leg."""
        return iter(self._all)

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._rows)
