"""A rulebook's formulas recorded once, lowered to a flat list of operations, and run over millions of accounts.

The recording is the engine's own evaluation on columns that remember what is done to them: no formula stands twice.
"""
