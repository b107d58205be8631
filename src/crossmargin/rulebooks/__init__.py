"""Dated rulebook documents (TOML only); docs/venues/ holds a page for each."""
