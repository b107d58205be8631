"""What follows from a rulebook's text alone: lines that differ between requirements, what stands still."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from crossmargin.margin.expression import Name
from crossmargin.margin.kinds import KINDS
from crossmargin.margin.model import Custom, Formula, Keyed, Variants
from crossmargin.margin.vocabulary import MEASURES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from crossmargin.margin.model import Parameter, Rulebook

_NONE: Final[Mapping[str, Parameter]] = {}


class Variation:
    """Answers for one rulebook, kept with it. Called with a line, whether it may differ between requirements."""

    def __init__(self, rulebook: Rulebook) -> None:
        self.rulebook = rulebook
        self.lines = rulebook.lines
        self._varies, self._fixed = rulebook.facts.varies, rulebook.facts.fixed

    def __call__(self, name: str) -> bool:
        """Return whether a line may differ between requirements; the others are computed once."""
        known = self._varies.get(name)
        if known is None:
            line = self.lines[name]
            parts = [line.spec, *line.parameters.values()]
            if line.kind in KINDS:
                parts += list(KINDS[line.kind].parameters(self.rulebook, line))
            # what a kind from outside reads is not known here
            known = isinstance(line.spec, Custom) or any(self._of_part(part, line.parameters) for part in parts)
            self._varies[name] = known
        return known

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

    def is_fixed(self, parameter: Any, own: Mapping[str, Parameter]) -> bool:  # noqa: ANN401 - any parameter form
        """Return whether no quantity enters a parameter of a line: only numbers, tables, and what contracts are.

        Parameters
        ----------
        own
            The parameters of the line itself.
        """
        known = self._fixed.get(id(parameter))
        if known is None or known[0] is not parameter:
            known = self._fixed[id(parameter)] = (parameter, self._stands_still(parameter, own))
        return known[1]

    def _stands_still(self, parameter: Any, own: Mapping[str, Parameter]) -> bool:  # noqa: ANN401 - as above
        if isinstance(parameter, Keyed):
            return all(self.is_fixed(part, own) for part in (*parameter.entries.values(), parameter.default))
        if isinstance(parameter, Variants):
            return all(self.is_fixed(part, own) for part in parameter.by_requirement.values())
        return not isinstance(parameter, Formula) or all(self._fixed_name(name.name, own) for name in parameter.reads)

    def _fixed_name(self, name: str, own: Mapping[str, Parameter]) -> bool:
        if name in own:
            return self.is_fixed(own[name], own)
        if name in self.rulebook.parameters:
            return self.is_fixed(self.rulebook.parameters[name], _NONE)
        measure = MEASURES.get(name)
        return measure is not None and not measure.extensive and name != "entry_price"
