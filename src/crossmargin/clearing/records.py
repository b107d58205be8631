"""Records as bytes, and batches of them chained by hashes: what a journal keeps.

A record is one line of JSON. A batch holds the records of whole commands and is one transaction; its head is
``blake2b(previous head + records)``, so that a changed, lost, doubled or reordered batch breaks the chain.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import Final

import msgspec

from crossmargin.clearing.events import Record
from crossmargin.errors import FailureReason, InputError

JOURNAL_VERSION: Final = 2
START: Final = bytes(32)  # the head before the first batch
MOST_RECORDS: Final = 100_000  # of one batch
PART: Final = 8_192  # bytes of records that are decoded at a time
RECOVER: Final = "to recover the journal, call crossmargin.clearing.recover(journal)"

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Record)


class Batch(msgspec.Struct, frozen=True, gc=False):
    """Records of whole commands, in order.

    Parameters
    ----------
    first, count
        Number of the first record, and how many there are.
    records
        One line of JSON each.
    previous, head
        The chain before and after this batch, 32 bytes.
    sources
        The last command of each source within it.
    """

    first: int
    count: int
    records: bytes
    previous: bytes
    head: bytes
    sources: Mapping[str, int]

    @property
    def last(self) -> int:
        """Number of the last record."""
        return self.first + self.count - 1


def encode(record: Record) -> bytes:
    """Return a record as one line of JSON, its end of line included."""
    return _encoder.encode(record) + b"\n"


def link(previous: bytes, records: bytes) -> bytes:
    """Return the head of the chain after these records."""
    made = hashlib.blake2b(previous, digest_size=32)
    made.update(records)
    return made.digest()


def make_batch(previous: bytes, first: int, lines: list[bytes], sources: Mapping[str, int]) -> Batch:
    """Return the next batch of a chain; `lines` are encoded records, at least one."""
    assert 0 < len(lines) <= MOST_RECORDS
    records = b"".join(lines)
    return Batch(first, len(lines), records, previous, link(previous, records), sources)


def records_of(batch: Batch, previous: bytes, first: int) -> list[Record]:
    """Return the records of a batch, if it is whole and follows `previous` with record number `first`.

    Raises
    ------
    InputError
        CORRUPT_JOURNAL, saying what does not fit.
    """
    return list(chain.from_iterable(parts_of(batch, previous, first)))


def parts_of(batch: Batch, previous: bytes, first: int) -> Iterator[list[Record]]:
    """Yield what `records_of` returns, some records at a time; what does not fit is refused when it is come to.

    Whoever is done with a part when he asks for the next is twice as quick as with all of them at once: the records of
    a part stay in the processor's cache, and are gone before the garbage collector looks for them.
    """
    check_chain(batch, previous, first)
    misnumbered = f"its records are not lines numbered {first} to {batch.last}"
    numbers, found = range(first, first + batch.count), 0
    for lines in _cut(batch.records):
        try:
            records = _decoder.decode_lines(lines)
        except ValueError as error:  # also of what is no Unicode
            _corrupt(batch, f"from record {first + found} on: {error}")
            raise
        count = lines.count(b"\n")
        if [record.number for record in records] != list(numbers[found : found + count]):
            _corrupt(batch, misnumbered)
        yield records
        found += count
    if found != batch.count:
        _corrupt(batch, misnumbered)


def check_chain(batch: Batch, previous: bytes, first: int) -> None:
    """Raise CORRUPT_JOURNAL unless a batch follows `previous`, with record number `first`, and its head is its own."""
    if batch.first != first:
        _corrupt(batch, f"expected record {first} next, found {batch.first}")
    if batch.previous != previous:
        _corrupt(batch, "it does not follow the batch before it")
    if link(previous, batch.records) != batch.head:
        _corrupt(batch, "its records are not those that its head was made of")


def last_commands(records: Iterable[Record]) -> dict[str, int]:
    """Return the last command of each source among records."""
    return {record.source: record.sequence for record in records}


def _cut(records: bytes) -> Iterator[bytes]:
    """Yield whole lines, about as many bytes of them at a time as a part has."""
    begin = 0
    while begin < len(records):
        end = records.find(b"\n", begin + PART) + 1 or len(records)
        yield records[begin:end]
        begin = end


def _corrupt(batch: Batch, message: str) -> None:
    where = f"batch of records {batch.first} to {batch.last}"
    raise InputError(FailureReason.CORRUPT_JOURNAL, f"{where}: {message}; {RECOVER}", path="journal")
