"""The command line. Nothing here but names: each command loads what it needs when it runs."""

from crossmargin.cli.entry import main

__all__ = ["main"]
