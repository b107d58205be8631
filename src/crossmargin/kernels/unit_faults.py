"""TODO."""
def refuse_units(book, program, listed):
    raise ValueError("TODO")
