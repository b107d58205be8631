"""Lines of a journal added to balances by the compiled kernel, beside the decoder and a dictionary."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmargin import kernels

needs_native = pytest.mark.usefixtures("native")

MOMENT = "2026-02-28T23:59:59.5Z"
names = st.sampled_from(["a", "b b", "],[", 'posted","', "~", "fees"])
amounts = st.one_of(
    st.integers(-2, 2), st.sampled_from([2**63 - 1, -(2**63), 10**18, -(10**18)]), st.integers(-(10**40), 10**40)
)
rows = st.lists(st.tuples(names.map(lambda name: name.replace('"', "'")), names.map(lambda n: n.replace('"', "'")),
                          st.sampled_from(["X", "Y"]), amounts), max_size=6)  # fmt: skip


def line(number: int, rows: Any, **changes: Any) -> bytes:  # noqa: ANN401 - whatever stands in a line
    words = {"source": "s", "sequence": number, "as_of": MOMENT, "cause": "trade", "case": None, **changes}
    head = [number, words["source"], words["sequence"], words["as_of"], "0.1", "digest"]
    return json.dumps([*head, ["posted", words["cause"], words["case"], rows]], separators=(",", ":")).encode() + b"\n"


def fold(records: bytes, first: int, count: int, balances: Any = None) -> Any:  # noqa: ANN401 - what comes out
    held: Any = {} if balances is None else balances
    sources: dict[str, int] = {}
    found = kernels.fold_lines(records, 0, len(records), first, held, sources, count)
    return found, held, sources


def add(balances: Any, rows: Any) -> None:  # noqa: ANN401 - as above
    for owner, purse, asset, amount in rows:
        held = balances.setdefault(owner, {})
        after = held.get((purse, asset), 0) + amount
        if after:
            held[purse, asset] = after
        else:
            held.pop((purse, asset), None)


@needs_native
@given(postings=st.lists(rows, min_size=1, max_size=5), parts=st.integers(1, 3))
def test_rows_are_added_as_a_dictionary_adds_them(postings: Any, parts: int) -> None:  # noqa: ANN401
    balances: Any = {}
    wanted: Any = {}
    for part in range(parts):
        first = part * len(postings) + 1
        records = b"".join(line(first + n, found) for n, found in enumerate(postings))
        found, _, sources = fold(records, first, len(postings), balances)
        for posted in postings:
            add(wanted, posted)
        assert found == MOMENT
        assert sources == {"s": first + len(postings) - 1}
        assert [(o, list(h.items())) for o, h in balances.items()] == [(o, list(h.items())) for o, h in wanted.items()]


STRANGE = [
    line(1, [["a", "b", "c", 1.0]]),
    line(1, [["a", "b", 1]]),
    line(1, [["a", "b", "c", True]]),
    line(1, [["\u00fc", "b", "c", 1]]),
    line(1, [["a\\", "b", "c", 1]]),
    line(1, [["a", "b", "c", "1"]]),
    line(3, []),
    line(-1, []),
    line(1, [], case=3),
    line(1, [], as_of="2026-02-29T00:00:00Z"),
    line(1, [], as_of="2026-02-28T24:00:00Z"),
    line(1, [], as_of="2026-02-28T00:00:00.Z"),
    line(1, [], as_of="2026-02-28T00:00:00.1234567Z"),
    line(1, [], as_of="2026-02-28T00:00:00+00:00"),
    line(1, [], as_of="0000-02-28T00:00:00Z"),
    line(1, [], sequence="1"),
    line(1, [["a", "b", "c", 1]]).replace(b",1]", b",01]"),
    line(1, [["a", "b", "c", 1]]).replace(b",1]", b",-0]"),
    line(1, [["a", "b", "c", 1]]).replace(b",1]", b", 1]"),
    line(1, [["a", "b", "c", 1]]).replace(b"]]]]", b"],]]]"),
    line(1, [["a", "b", "c", 10**300]]),
    line(1, [])[:-1],
    b"\n",
    b"",
]


@needs_native
@pytest.mark.parametrize("records", STRANGE)
def test_what_is_written_in_another_way_is_left_alone(records: bytes) -> None:
    assert fold(records, 1, 1) == (None, {}, {})
    good = line(1, [["a", "b", "c", 1]])
    second = records.replace(b"[1,", b"[2,").replace(b'"s",1', b'"s",2')
    assert fold(good + second, 1, 2) == (None, {}, {})
    if records.endswith(b"\n"):
        assert kernels.scan_lines(records, 1) == [(0, len(records), 1)]


@needs_native
def test_lines_are_counted_and_cut_at_their_ends() -> None:
    good = line(1, [["a", "b", "c", 1]])
    assert fold(good, 1, 2)[0] is None
    assert fold(good + line(2, []), 1, 1)[0] is None
    assert kernels.scan_lines(good + b"{}\n" + line(3, []), 1) == [(len(good), len(good) + 3, 2)]
    assert kernels.scan_lines(good[:-1], 1) is None
    assert kernels.scan_lines(b"", 1) == []
    for end in range(len(good)):
        assert fold(good[:end], 1, 1)[0] is None


@needs_native
def test_leap_days_are_days() -> None:
    for day in ("2024-02-29", "2000-02-29", "2026-12-31"):
        assert fold(line(1, [], as_of=f"{day}T00:00:00Z"), 1, 1)[0] == f"{day}T00:00:00Z"
    assert fold(line(1, [], as_of="1900-02-29T00:00:00Z"), 1, 1)[0] is None


@needs_native
def test_arguments_that_cannot_be_any_are_refused() -> None:
    good = line(1, [])
    with pytest.raises(ValueError, match="no bytes"):
        kernels.fold_lines(good, 0, len(good) + 1, 1, {}, {}, 1)
    with pytest.raises(ValueError, match="no bytes"):
        kernels.fold_lines(good, -1, 3, 1, {}, {}, 1)
    wrong: Any = [("a", 1)]
    with pytest.raises(TypeError):
        kernels.fold_lines(good, 0, len(good), 1, wrong, {}, 1)
    with pytest.raises(TypeError):
        kernels.fold_lines(wrong, 0, 1, 1, {}, {}, 1)
    texts: Any = {"a": {("b", "c"): "text"}}
    with pytest.raises(TypeError):
        fold(line(1, [["a", "b", "c", 1]]), 1, 1, texts)
    no_table: Any = {"a": 3}
    with pytest.raises((TypeError, SystemError)):
        fold(line(1, [["a", "b", "c", 1]]), 1, 1, no_table)
