"""The exception tree and the closed list of reasons why something was refused.

Every error says what was expected, what was found, where, and what to do about it.
In a batch a refusal is a :class:`Failure` row beside the accounts that went through;
for a single account it is raised as an :class:`InputError`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class FailureReason(StrEnum):
    """Why an account, a quote or a document was refused. Closed: tests walk every member."""

    MALFORMED_INPUT = "malformed_input"
    DUPLICATE_ACCOUNT = "duplicate_account"
    DUPLICATE_POSITION = "duplicate_position"
    DUPLICATE_INSTRUMENT = "duplicate_instrument"
    UNKNOWN_ACCOUNT = "unknown_account"
    UNKNOWN_INSTRUMENT = "unknown_instrument"
    UNKNOWN_ASSET = "unknown_asset"
    UNKNOWN_PARAMETER = "unknown_parameter"
    MISSING_QUOTE = "missing_quote"
    MISSING_VOL = "missing_vol"
    MISSING_ENTRY_PRICE = "missing_entry_price"
    MISSING_CALIBRATION = "missing_calibration"
    STALE_QUOTE = "stale_quote"
    INVALID_PRICE = "invalid_price"
    INVALID_QUANTITY = "invalid_quantity"
    INVALID_INSTRUMENT = "invalid_instrument"
    EXPIRED = "expired"
    AWAITING_SETTLEMENT = "awaiting_settlement"
    OUT_OF_SCOPE = "out_of_scope"
    NOT_EFFECTIVE = "not_effective"
    UNKNOWN_RULEBOOK = "unknown_rulebook"
    INVALID_RULEBOOK = "invalid_rulebook"
    NOT_CONVERGED = "not_converged"
    INCONSISTENT_ROW = "inconsistent_row"
    UNDEFINED_RESULT = "undefined_result"


@dataclass(frozen=True, slots=True)
class Failure:
    """One refused account (or document): the reason, a sentence, and where it was found."""

    reason: FailureReason
    message: str
    account: str | None = None
    instrument: str | None = None


class CrossmarginError(Exception):
    """The root of everything that this package raises on purpose."""

    def __reduce__(self) -> tuple[Callable[..., CrossmarginError], tuple[object, ...]]:
        """Return how another process makes the same error; by default its sentence would be taken for its arguments."""
        return _made_again, (type(self), self.args, self.__dict__)


def _made_again(kind: type[CrossmarginError], args: tuple[object, ...], state: dict[str, object]) -> CrossmarginError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(state)
    return error


class InputError(CrossmarginError):
    """What came in cannot be used: one reason, one sentence, and the place.

    Parameters
    ----------
    reason
        A member of the closed list.
    message
        What was expected, what was found, and what to do.
    account, instrument
        Which account and which instrument, where that is known.
    path
        The file and the place in it (``accounts.json: $.accounts[3].balances``).
    """

    def __init__(
        self,
        reason: FailureReason,
        message: str,
        *,
        account: str | None = None,
        instrument: str | None = None,
        path: str | None = None,
    ) -> None:
        self.reason = reason
        self.message = message
        self.account = account
        self.instrument = instrument
        self.path = path
        places = [path, account and f"account {account}", instrument and f"instrument {instrument}"]
        where = ", ".join(place for place in places if place)
        super().__init__(f"{where}: {message}" if where else message)

    def failure(self) -> Failure:
        """Return the same refusal as a row."""
        return Failure(self.reason, self.message, self.account, self.instrument)


class RulebookError(InputError):
    """A rulebook that cannot be loaded: the file, the line, the entry, and what to do.

    Parameters
    ----------
    message
        What is wrong and what to do.
    path
        The document's file.
    line
        The line in it, counted from 1; None where the whole document is meant.
    """

    def __init__(
        self,
        message: str,
        *,
        path: str | None = None,
        line: int | None = None,
        reason: FailureReason = FailureReason.INVALID_RULEBOOK,
    ) -> None:
        self.line = line
        place = f"{path}:{line}" if path and line else path
        super().__init__(reason, message, path=place)
