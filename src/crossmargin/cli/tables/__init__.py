"""Tables for the terminal, drawn with rich; good at 100 columns."""
