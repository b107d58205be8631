"""What has been found out about a rulebook, kept with it."""

from __future__ import annotations

from typing import Any


class Facts:
    """What has been found to follow from one rulebook's text alone; whoever copies the rulebook finds it anew.

    `varies` by line; `fixed` by the identity of a parameter, which is kept beside the answer; `balances` whether it
    needs a row for every asset touched, None while nobody has asked.
    """

    __slots__ = ("balances", "fixed", "varies")

    def __init__(self) -> None:
        self.varies: dict[str, bool] = {}
        self.fixed: dict[int, tuple[Any, bool]] = {}
        self.balances: bool | None = None

    def __reduce__(self) -> tuple[type[Facts], tuple[()]]:
        """Travel empty: identities are those of one process."""
        return Facts, ()
