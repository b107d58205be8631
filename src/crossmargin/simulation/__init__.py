"""A seeded world around a clearing house, with faults; a failure is a seed and a step."""

from crossmargin.simulation.faults import Faults
from crossmargin.simulation.world import BrokenWorldError, Outcome, World, simulate

__all__ = ["BrokenWorldError", "Faults", "Outcome", "World", "simulate"]
