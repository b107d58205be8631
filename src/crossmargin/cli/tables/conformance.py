"""What of the published cases was reproduced."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.text import Text

from crossmargin.cli.tables import parts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rich.console import RenderableType

_SHOWN = 5  # failures of one family on the terminal; JSON holds all


def conformance_tables(found: Mapping[str, Any]) -> Iterator[RenderableType]:
    """Yield the families, then the first failures of each."""
    families = found["families"]
    note = "families that nothing here reads are listed and not failed"
    made = parts.table(
        "Conformance with published cases", ("family", "kind"), ("reproduced", "of", "worst residual"), note=note
    )
    for family in families:
        whole = family["total"] and family["reproduced"] == family["total"]
        known = family["reproduced"] or family["failures"]
        style = "green" if whole else ("red" if family["failures"] else "dim")
        residual = family["worst_residual"]
        cells = (str(family["total"]), "-" if residual is None else f"{residual:.3g}")
        counted = Text(str(family["reproduced"]) if known else "-", style=style)
        made.add_row(
            Text(str(family["family"]), style="bold" if known else "dim"), str(family["kind"]), counted, *cells
        )
    yield made
    for family in families:
        if family["failures"]:
            yield Text(f"{family['family']} {family['kind']}: not reproduced", style="bold red")
            for failure in family["failures"][:_SHOWN]:
                yield Text(f"  {_words(failure)}")
            left = len(family["failures"]) - _SHOWN
            if left > 0:
                yield Text(f"  ... {left} more (--format json holds all)", style="dim")


def _words(failure: object) -> str:
    if isinstance(failure, dict):
        return "  ".join(f"{name} {value}" for name, value in failure.items())
    return str(failure)
