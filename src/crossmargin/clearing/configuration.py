"""What a clearing house is set up with: documents, each with its hash, folded into integer terms."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

import msgspec

from crossmargin.account import MarginMode
from crossmargin.clearing.contracts import Asset, Contract, Terms, terms_of
from crossmargin.clearing.ledger import HOUSE
from crossmargin.errors import FailureReason, InputError

if TYPE_CHECKING:
    from collections.abc import Callable

POOL_MARK: Final = "/"  # account/pool
UNIT_MARK: Final = "#"  # owner#unit, where a rulebook parts an owner's holdings further


class Section(StrEnum):
    """What a configuration document is about. Documents add to what stands; those of `REPLACED` replace it.

    `breakers` and `stress` are the machine's own: what the rulebook's guards and breakers have stopped, and what the
    last stress has found.
    """

    ASSETS = "assets"
    INSTRUMENTS = "instruments"
    ACCOUNTS = "accounts"
    RULEBOOK = "rulebook"
    HALTS = "halts"
    BREAKERS = "breakers"
    STRESS = "stress"


REPLACED: Final = frozenset({Section.RULEBOOK, Section.HALTS, Section.BREAKERS, Section.STRESS})
MADE: Final = frozenset({Section.BREAKERS, Section.STRESS})
"""What the machine writes, and nobody sets up by hand."""


class Holder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One account: how it is margined, its class, and its pools beside the main one, each assessed alone."""

    margin_mode: MarginMode = MarginMode.CROSS
    class_: str | None = msgspec.field(default=None, name="class")
    pools: tuple[str, ...] = ()


class RulebookTerms(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which rulebook judges: its name and digest, and the asset that prices are stated in."""

    name: str
    digest: str
    reporting_asset: str = "USD"


class Halts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Underlyings on which no new risk may be taken, and those on which nothing is liquidated."""

    openings: tuple[str, ...] = msgspec.field(default=(), name="risk")
    liquidation: tuple[str, ...] = ()


class Trip(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Something that stopped on an underlying by rule.

    Parameters
    ----------
    rule
        The condition, or ``prices``: too few feeds.
    what
        What stands still: `risk`, `liquidation` or both.
    cause
        What the condition read, as decimal strings.
    waits_until
        When liquidation goes on at the latest; None: with risk.
    """

    rule: str
    what: tuple[str, ...]
    since: datetime
    cause: Mapping[str, str]
    waits_until: datetime | None = None


class Stress(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the last stress found.

    Parameters
    ----------
    accounts, scenarios
        How many it looked at.
    losses
        By scenario and account what a default would leave uncovered, in reporting money, as decimal strings: of the
        scenario with the largest shortfall and of the one with the two largest together.
    """

    as_of: datetime
    accounts: int
    scenarios: int
    losses: Mapping[str, Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class Configuration:
    """Everything that stands, as of one moment of the journal."""

    assets: Mapping[str, Asset] = field(default_factory=dict)
    terms: Mapping[str, Terms] = field(default_factory=dict)
    accounts: Mapping[str, Holder] = field(default_factory=dict)
    owners: frozenset[str] = HOUSE
    rulebook: RulebookTerms | None = None
    halts: Halts = field(default_factory=Halts)
    breakers: Mapping[str, tuple[Trip, ...]] = field(default_factory=dict)
    stress: Stress | None = None


def document_of(section: Section, content: Any) -> str:  # noqa: ANN401 - what msgspec writes
    """Return the canonical text of a configuration document: JSON with sorted keys."""
    return msgspec.json.encode(msgspec.convert(msgspec.to_builtins(content), _TYPES[section]), order="sorted").decode()


def digest_of(document: str) -> str:
    """Return the hash that names a document: blake2b, 32 bytes, hexadecimal."""
    return hashlib.blake2b(document.encode(), digest_size=32).hexdigest()


def configured(standing: Configuration, section: str, document: str) -> Configuration:
    """Return the configuration after a document.

    Raises
    ------
    InputError
        MALFORMED_INPUT for a text that is no such document; INCONSISTENT_ROW for one that changes what balances
        are counted in; the reasons of `terms_of`.
    """
    try:
        kind = Section(section)
        content: Any = msgspec.json.decode(document, type=_TYPES[kind])
    except ValueError as error:  # msgspec's errors are ValueErrors too
        raise InputError(FailureReason.MALFORMED_INPUT, f"configuration of {section}: {error}") from error
    return _FOLDS[kind](standing, content)


def owners_of(account: str, holder: Holder) -> tuple[str, ...]:
    """Return the ledger's owners of an account: itself, and one for each further pool."""
    return (account, *(f"{account}{POOL_MARK}{pool}" for pool in holder.pools))


def account_of(owner: str) -> str:
    """Return the account that an owner belongs to."""
    return owner.split(POOL_MARK, maxsplit=1)[0]


def _with_assets(standing: Configuration, content: dict[str, Asset]) -> Configuration:
    for name, asset in content.items():
        old = standing.assets.get(name)
        if name in standing.terms:
            _inconsistent(f"{name} is an instrument; an asset needs another name")
        if old is not None and old.digits != asset.digits:
            _inconsistent(f"{name} is counted in {old.digits} digits, and balances stand in them; found {asset.digits}")
        if not 0 <= asset.digits <= 30 or not 0 <= asset.price_digits <= 30:  # noqa: PLR2004
            _inconsistent(f"digits of {name} must be between 0 and 30")
    return replace(standing, assets={**standing.assets, **content})


def _with_instruments(standing: Configuration, content: dict[str, Contract]) -> Configuration:
    added = {}
    for symbol, contract in content.items():
        if contract.instrument.symbol != symbol:
            _inconsistent(f"instrument {symbol} calls itself {contract.instrument.symbol}")
        if symbol in standing.assets:
            _inconsistent(f"{symbol} is an asset; an instrument needs another name")
        old = standing.terms.get(symbol)
        if old is not None and old.contract != contract:
            _inconsistent(f"the terms of {symbol} stand and cannot change; list a new symbol")
        added[symbol] = terms_of(contract, dict(standing.assets))
    return replace(standing, terms={**standing.terms, **added})


def _with_accounts(standing: Configuration, content: dict[str, Holder]) -> Configuration:
    for account, holder in content.items():
        names = (account, *holder.pools)
        if any(not name or POOL_MARK in name or UNIT_MARK in name for name in names):
            _inconsistent(f"account {account!r}: names of accounts and pools hold no {POOL_MARK} and no {UNIT_MARK}")
        if account in HOUSE:
            _inconsistent(f"{account} is the house's own name; choose another")
        old = standing.accounts.get(account)
        if old is not None and not set(old.pools) <= set(holder.pools):
            _inconsistent(f"account {account}: a pool cannot be taken away")
    owners = {owner for account, holder in content.items() for owner in owners_of(account, holder)}
    return replace(standing, accounts={**standing.accounts, **content}, owners=standing.owners | owners)


def _with_rulebook(standing: Configuration, content: RulebookTerms) -> Configuration:
    return replace(standing, rulebook=content)


def _with_halts(standing: Configuration, content: Halts) -> Configuration:
    return replace(standing, halts=content)


def _with_breakers(standing: Configuration, content: dict[str, tuple[Trip, ...]]) -> Configuration:
    return replace(standing, breakers=content)


def _with_stress(standing: Configuration, content: Stress) -> Configuration:
    return replace(standing, stress=content)


def _inconsistent(message: str) -> None:
    raise InputError(FailureReason.INCONSISTENT_ROW, message)


_TYPES: Final[Mapping[Section, Any]] = {
    Section.ASSETS: dict[str, Asset],
    Section.INSTRUMENTS: dict[str, Contract],
    Section.ACCOUNTS: dict[str, Holder],
    Section.RULEBOOK: RulebookTerms,
    Section.HALTS: Halts,
    Section.BREAKERS: dict[str, tuple[Trip, ...]],
    Section.STRESS: Stress,
}
_FOLDS: Final[Mapping[Section, Callable[[Configuration, Any], Configuration]]] = {
    Section.ASSETS: _with_assets,
    Section.INSTRUMENTS: _with_instruments,
    Section.ACCOUNTS: _with_accounts,
    Section.RULEBOOK: _with_rulebook,
    Section.HALTS: _with_halts,
    Section.BREAKERS: _with_breakers,
    Section.STRESS: _with_stress,
}
