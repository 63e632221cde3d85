"""Measures of a policy, from the sides of episodes that it played.

    measured  scalars: reward (points per round), share of invalid answers, and what the family of the game measures;
              tables: what the policy does, given what happened before
    measures  both, in one flat dictionary, for metrics

Must not load torch.
"""

from __future__ import annotations

from detente.games.family import flat_tables, measured, measures
from detente.games.sides import Side, mean

__all__ = ["Side", "flat_tables", "mean", "measured", "measures"]
