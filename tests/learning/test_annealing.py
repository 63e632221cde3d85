"""Options between their start and their end.

tests/learning/test_mutations.py runs every test here that takes no argument on altered copies of the module, as ``annealing``.
"""

from __future__ import annotations

from detente.learning import annealing
from detente.options import AlgorithmOptions, CreditOptions


def test_annealed_is_linear_between_its_ends() -> None:
    assert [annealing.annealed(2.0, 6.0, p) for p in (0.0, 0.25, 1.0)] == [2.0, 3.0, 6.0]
    assert annealing.annealed(2.0, None, 0.5) == 2.0


def test_options_are_those_of_their_point_of_the_run() -> None:
    options = CreditOptions(beta=2.0, beta_final=6.0, gamma=0.7)
    assert annealing.options_at(options, 0.25) == options.model_copy(update={"beta": 3.0})
    assert annealing.options_at(AlgorithmOptions(gamma=0.7), 0.25) == AlgorithmOptions(gamma=0.7)
