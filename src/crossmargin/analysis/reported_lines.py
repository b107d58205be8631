"""Lines and scenarios that a venue reported, beside the rulebook's, and what each that differs carries upward.

A reported line is the sum of some of the rulebook's lines at one place. Its difference is its own only as far as lines
inside it do not differ: what they carry into it, by the derivatives of the tree, is theirs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from msgspec.structs import replace

from crossmargin.analysis.computed_lines import Place
from crossmargin.analysis.residuals import ReconciliationRow, compared, is_rounding, number

if TYPE_CHECKING:
    from crossmargin.analysis.computed_lines import ComputedLines

_BOTH: Final = "maintenance"  # which requirement a line is read from that is reported for both
_PICKS: Final = {"least": min, "most": max}


@dataclass(frozen=True, slots=True)
class ReportedLine:
    """One line as a venue states it.

    Parameters
    ----------
    lines
        The rulebook's lines that it is the sum of; empty where the rulebook has none for it.
    requirement
        The one that it is stated for; None: both.
    carried
        Whether it is stated as it enters the requirement, the rulebook's factors included.
    """

    name: str
    amount: float
    lines: tuple[str, ...]
    place: Place
    requirement: str | None
    carried: bool

    @property
    def label(self) -> str:
        """What it is called in explanations."""
        place = " ".join(word for word in (self.place.pool, self.place.bucket) if word)
        return f"{self.name} of {place}" if place else self.name


def read_lines(given: object, computed: ComputedLines) -> tuple[ReportedLine, ...]:
    """Return the lines of a `reported` block: amounts by name, or a list of objects."""
    rows: Sequence[Any] = given if isinstance(given, list | tuple) else ()
    if isinstance(given, Mapping):
        rows = [{"name": name, "amount": amount} for name, amount in given.items()]
    found = []
    for row in rows:
        amount = number(row.get("amount")) if isinstance(row, Mapping) and "name" in row else None
        if amount is not None:
            found.append(_line(row, amount, computed))
    return tuple(found)


def _line(row: Mapping[str, Any], amount: float, computed: ComputedLines) -> ReportedLine:
    name = str(row["name"])
    wanted = row.get("lines") or (name,)
    requirement = row.get("requirement")
    return ReportedLine(
        name=name,
        amount=amount,
        lines=computed.known([wanted] if isinstance(wanted, str) else [str(line) for line in wanted]),
        place=_place(row),
        requirement=requirement if requirement in {"initial", "maintenance"} else None,
        carried=row.get("carried") is True,
    )


def _place(row: Mapping[str, Any]) -> Place:
    pool, bucket = row.get("pool"), row.get("bucket")
    return Place(pool=None if pool is None else str(pool), bucket=None if bucket is None else str(bucket))


@dataclass(slots=True)
class Differences:
    """What the reported lines differ by, and what that carries into a requirement or another line."""

    lines: tuple[ReportedLine, ...]
    computed: ComputedLines
    _own: dict[tuple[int, str], float] = field(default_factory=dict)

    def into_requirement(self, requirement: str, place: Place) -> dict[str, float]:
        """Return what each line that differs carries into a requirement at a place, by the line's label."""
        return self._carried(None, requirement, place)

    def into_line(self, index: int) -> dict[str, float]:
        """Return what the lines inside a reported line carry into it."""
        line = self.lines[index]
        return self._carried(index, line.requirement or _BOTH, line.place)

    def missing(self, requirement: str, place: Place) -> dict[str, float]:
        """Return the amounts of reported lines at a place that the rulebook lacks, or that are its inputs.

        What it lacks stands as it is, and as a line beside it would enter the requirement.
        """
        found = {}
        for line in self.lines:
            given = self.computed.stated_input(line.name, line.place)
            if not _inside(line.place, place):
                continue
            if given is not None:
                found[f"{line.label}, an input of the rulebook"] = line.amount - given
            elif not line.lines:
                found[f"{line.label}, which the rulebook lacks"] = line.amount
                factor = self._factor(requirement, line.place)
                if factor not in {0.0, 1.0}:
                    found[f"{line.label}, which the rulebook lacks, x {factor:.6g}"] = line.amount * factor
        return found

    def _factor(self, requirement: str, place: Place) -> float:
        """Return what most one unit of a reported line at exactly this place adds to a requirement."""
        beside = [line for line in self.lines if line.lines and line.place == place and not line.carried]
        shares = (self.computed.share(None, line.lines, requirement, place) for line in beside)
        return max(shares, default=0.0)

    def _carried(self, target: int | None, requirement: str, place: Place) -> dict[str, float]:
        found: dict[str, float] = {}
        for index in self._usable(requirement, place):
            share = 0.0 if index == target else self._share(index, target, requirement)
            part = share * self._own_difference(index, requirement) if share else 0.0
            if place.pool is None:
                part *= self.computed.numeraire(self.lines[index].place)
            if part:
                label = self.lines[index].label
                found[label] = found.get(label, 0.0) + part
        return found

    def _share(self, index: int, target: int | None, requirement: str) -> float:
        """Return what one unit of a reported line adds to another one, or to a requirement (None)."""
        line = self.lines[index]
        top = None if target is None else self.lines[target]
        if line.carried:
            return 0.0
        if top is not None and set(line.lines) <= set(top.lines):  # a part of the same lines, at a narrower place
            return float(line.place != top.place and not top.carried)
        inner = None if top is None or top.carried else top.lines
        return self.computed.share(inner, line.lines, requirement, line.place)

    def _usable(self, requirement: str, place: Place) -> Iterator[int]:
        """Yield the lines at a place whose difference is known for a requirement."""
        for index, line in enumerate(self.lines):
            stated = line.requirement in {None, requirement}
            if (
                line.lines
                and stated
                and _inside(line.place, place)
                and self._difference(index, requirement) is not None
            ):
                yield index

    def _difference(self, index: int, requirement: str) -> float | None:
        line = self.lines[index]
        ours = self.computed.amount(line.lines, requirement, line.place, carried=line.carried)
        return None if ours is None else line.amount - ours

    def _own_difference(self, index: int, requirement: str) -> float:
        """Return a line's difference less what the reported lines inside it carry into it."""
        key = (index, requirement)
        if key not in self._own:
            line = self.lines[index]
            whole = self._difference(index, requirement) or 0.0
            self._own[key] = whole  # the graph is acyclic; this only guards the recursion
            self._own[key] = whole - sum(self._carried(index, requirement, line.place).values())
            if is_rounding(self._own[key], abs(line.amount)):
                self._own[key] = 0.0
        return self._own[key]


def _inside(inner: Place, outer: Place) -> bool:
    return outer.pool in {None, inner.pool} and outer.bucket in {None, inner.bucket}


def line_rows(differences: Differences) -> Iterator[ReconciliationRow]:
    """Yield each reported line beside the sum of the rulebook's lines that it stands for."""
    for index, line in enumerate(differences.lines):
        row = ReconciliationRow(
            name=line.name, pool=line.place.pool, bucket=line.place.bucket, requirement=line.requirement,
            lines=line.lines, reported=line.amount,
        )  # fmt: skip
        given = differences.computed.stated_input(line.name, line.place)
        if given or (given is not None and not line.lines):
            advice = ("the account is to state it, under `inputs`",) if given != line.amount else ()
            yield compared(replace(row, lines=(), computed=given, suggestions=advice))
            continue
        if not line.lines:
            missing = ("the rulebook has no line for it",) if line.amount else ()
            yield replace(row, suggestions=missing)
            continue
        ours = differences.computed.amount(line.lines, line.requirement or _BOTH, line.place, carried=line.carried)
        if ours is None:
            yield replace(row, suggestions=("the account, or the rulebook's line, has no such row",))
            continue
        yield compared(
            replace(row, computed=ours),
            differences.missing(line.requirement or _BOTH, line.place),
            differences.into_line(index),
        )


def scenario_rows(given: object, computed: ComputedLines) -> Iterator[ReconciliationRow]:
    """Yield each reported P&L of a scenario beside the rulebook's: the same line, place, spot move and vol rule.

    An entry has `line`, `spot` (a share), `vol` (one name or several), `pnl`; `pick` (least or most) where it is one
    of several scenarios and which is not known; `weighted` where the scenario's weight is in it.
    """
    for row in given if isinstance(given, list | tuple) else ():
        if not isinstance(row, Mapping) or not {"line", "spot", "pnl"} <= set(row):
            continue
        spot, place, line = number(row["spot"]), _place(row), str(row["line"])
        stated = row.get("vol", "same")
        vols = (stated,) if isinstance(stated, str) else tuple(str(vol) for vol in stated)
        if spot is None:
            continue
        found = computed.pnl(line, place, spot, vols, weighted=row.get("weighted") is True)
        pick = str(row.get("pick", ""))
        one = _PICKS[pick](found) if found and pick in _PICKS else found[0] if len(found) == 1 else None
        words = f"{pick} of vol {' and '.join(vols)}" if pick else f"vol {' or '.join(vols)}"
        made = ReconciliationRow(
            name=str(row.get("name", line)),
            pool=place.pool,
            bucket=place.bucket,
            lines=computed.known([line]),
            scenario=f"spot {spot:+.6g}, {words}",
            reported=number(row["pnl"]),
            computed=one,
        )
        yield compared(made)
