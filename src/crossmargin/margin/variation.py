"""Which lines may differ between requirements: the others are computed once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from crossmargin.margin.expression import Name
from crossmargin.margin.kinds import KINDS
from crossmargin.margin.model import Custom, Formula, Keyed, Variants

if TYPE_CHECKING:
    from collections.abc import Mapping

    from crossmargin.margin.model import Line, Parameter, Rulebook


class Variation:
    """Answers by line, kept in `known`."""

    def __init__(self, rulebook: Rulebook, lines: Mapping[str, Line], known: dict[str, bool]) -> None:
        self.rulebook = rulebook
        self.lines = lines
        self._known = known

    def __call__(self, name: str) -> bool:
        """Return whether a line may differ between requirements."""
        if name not in self._known:
            self._known[name] = True  # the graph is acyclic; this only guards the recursion
            line = self.lines[name]
            parts = [line.spec, *line.parameters.values()]
            if line.kind in KINDS:
                parts += list(KINDS[line.kind].parameters(self.rulebook, line))
            varies = isinstance(line.spec, Custom)  # what a kind from outside reads is not known here
            self._known[name] = varies or any(self._of_part(part, line.parameters) for part in parts)
        return self._known[name]

    def _of_part(self, part: Any, own: Mapping[str, Parameter]) -> bool:  # noqa: ANN401 - any parameter form
        if isinstance(part, Variants):
            return True
        if isinstance(part, Keyed):
            return any(self._of_part(entry, own) for entry in (*part.entries.values(), part.default))
        return isinstance(part, Formula) and any(self._of_name(name, own) for name in part.reads)

    def _of_name(self, name: Name, own: Mapping[str, Parameter]) -> bool:
        if name.variant is not None or name.name in own:  # own parameters are parts of the line themselves
            return False
        if name.name in self.rulebook.parameters:
            return self._of_part(self.rulebook.parameters[name.name], {})
        return name.name in self.lines and self(name.name)
