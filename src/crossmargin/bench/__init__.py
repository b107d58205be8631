"""The benchmark: what the engine does, beside its peers and beside what the machine can do at most, in one run."""
