"""What is held: balances, positions, orders - and the book, many accounts in columns."""

from crossmargin.account.account import Account, MarginMode, Order, Position, PositionSide
from crossmargin.account.book import Book, check_account

__all__ = ["Account", "Book", "MarginMode", "Order", "Position", "PositionSide", "check_account"]
