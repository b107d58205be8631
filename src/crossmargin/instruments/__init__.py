"""What a contract is: its terms, never its price."""

from crossmargin.instruments.instrument import (
    ContractKind,
    Instrument,
    InstrumentKind,
    OptionType,
    check_terms,
)

__all__ = ["ContractKind", "Instrument", "InstrumentKind", "OptionType", "check_terms"]
