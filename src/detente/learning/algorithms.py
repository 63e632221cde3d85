"""A learner's algorithm with its options: one of the package, or a user's own, ``module:attribute``.

    credit ── gamma, baseline ... ──────────┐
    credit.options ── what is its own ──> its class of options ──> function(group, options) ──> credit, checked

Every fault in a user's own algorithm becomes one sentence that names it. Loads torch for these alone, and to compute credit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from detente.config import Config
from detente.errors import UserError, out_of_memory, unknown
from detente.foreign import fault, imported, is_foreign
from detente.learning.annealing import options_at
from detente.options import AlgorithmOptions, AlignmentOptions, CreditOptions, LearnerConfig
from detente.validation import sentence

if TYPE_CHECKING:
    from torch import Tensor

    from detente.learning.credit import Group

OWN = "credit.options."
BASES = (CreditOptions, AlignmentOptions, AlgorithmOptions)  # of an algorithm's options, which get these from ``credit`` itself


@dataclass(frozen=True)
class LearnerAlgorithm:
    """How a learner's rewards become credit."""

    name: str
    function: Callable[[Group, Any], Tensor]
    options: AlgorithmOptions

    def credit(self, group: Group, progress: float) -> Tensor:
        """(G, K, T), as the options are at this point of the run, from 0 to 1. UserError where somebody's own algorithm fails."""
        if not is_foreign(self.name):
            return self.function(group, options_at(self.options, progress))
        with _blamed(self.name):
            credit = self.function(group, options_at(self.options, progress))
        return _checked(self.name, credit, group)


def check(config: Config) -> None:
    """UserError unless every learner's algorithm is there and takes its options; imports those of somebody's own."""
    for name in config.learner_names:
        own = config.learners.get(name, {}).get("credit", {})
        options_of(config.learner(name), f"learners.{name}.{OWN}" if "options" in own else OWN)


def algorithm_of(learner: LearnerConfig) -> LearnerAlgorithm:
    """The algorithm that a learner's options name."""
    from detente.learning.credit import ALGORITHMS

    function = _imported(learner.algorithm) if is_foreign(learner.algorithm) else ALGORITHMS[learner.algorithm]
    return LearnerAlgorithm(learner.algorithm, function, options_of(learner))


def options_of(learner: LearnerConfig, before: str = OWN) -> AlgorithmOptions:
    """What a learner's algorithm is told; an error puts ``before`` before the names of its own options."""
    name, given = learner.algorithm, learner.credit.options
    options = _options_class(name) if is_foreign(name) else CreditOptions
    shared = next(base for base in BASES if issubclass(options, base)).model_fields
    own = [before + key for key in options.model_fields if key not in shared]
    for key in given:
        if key in shared:
            raise UserError(f"There is no option '{before}{key}'; did you mean '{before.removesuffix('options.')}{key}'?")
        if not own:
            raise UserError(f"The algorithm '{name}' has no options of its own, so there is no option '{before}{key}'.")
        if before + key not in own:
            raise unknown("option", before + key, own)
    try:
        with _blamed(name):
            return options(**{key: getattr(learner.credit, key) for key in shared}, **given)
    except ValidationError as error:
        raise UserError(sentence(error, options, before)) from error


def _imported(name: str) -> Callable[[Group, Any], Tensor]:
    return imported(name, "algorithm")


def _options_class(name: str) -> type[AlgorithmOptions]:
    from detente.learning.credit import OPTIONS

    options: Any = getattr(_imported(name), OPTIONS, CreditOptions)
    if not (isinstance(options, type) and issubclass(options, AlgorithmOptions)):
        raise UserError(f"The options of the algorithm '{name}' are no class derived from detente.options.AlgorithmOptions.")
    return options


@contextmanager
def _blamed(name: str) -> Iterator[None]:
    """Turn what a user's code raises inside into one sentence that names the algorithm."""
    try:
        yield
    except Exception as error:
        if isinstance(error, UserError | ValidationError) or out_of_memory(error):
            raise
        raise fault(f"The algorithm '{name}'", error) from error


def _checked(name: str, credit: Any, group: Group) -> Tensor:
    """The credit in the dtype of the rewards; UserError where it is no finite number for every round."""
    import torch

    shape = tuple(group.rewards.shape[:3])
    if not isinstance(credit, torch.Tensor):
        wrong = f"which is no tensor but {type(credit).__name__}"
    elif tuple(credit.shape) != shape:
        wrong = f"of shape {tuple(credit.shape)} where (G, K, T) is {shape}"
    elif not credit.is_floating_point():
        wrong = f"of {credit.dtype}, which are no floating-point numbers"
    elif not math.isfinite(float(credit.detach().double().abs().sum())):
        wrong = "that is not finite (NaN or infinity)"
    else:
        return credit.detach().to(group.rewards)
    raise UserError(f"The algorithm '{name}' returned credit {wrong}; see docs/add-an-algorithm.md.")
