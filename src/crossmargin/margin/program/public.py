"""What the room shows of large books."""

from crossmargin.margin.program.assess import CompactReport
from crossmargin.margin.program.compact import CompactBook, compact, compact_books
from crossmargin.margin.program.join import join_books
from crossmargin.margin.program.live import LiveBook

__all__ = ["CompactBook", "CompactReport", "LiveBook", "compact", "compact_books", "join_books"]
