"""Options of the command line that would change nothing. Must not import torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from detente.curriculum_options import USED, CurriculumOptions
from detente.errors import UserError
from detente.options import ALGORITHMS, ALIGNMENT, SOCIAL, AlgorithmOptions, AlignmentOptions, LearnerConfig, SocialOptions


def check_used(given: Mapping[str, Any], learners: Mapping[str, LearnerConfig], curriculum: CurriculumOptions) -> None:
    """UserError for an option of one algorithm, reward or curriculum that the command line gives to others, which ignore it, and
    for a reward that it leaves without any of its options."""
    _check_curriculum(given, curriculum)
    _check("", given, learners)
    for name, changes in (given.get("learners") or {}).items():
        _check(f"learners.{name}.", changes, {name: learners[name]} if name in learners else {})


def _check(before: str, given: Mapping[str, Any], learners: Mapping[str, LearnerConfig]) -> None:
    algorithms = {learner.algorithm for learner in learners.values()}
    rewards = {learner.reward for learner in learners.values()}
    alignment = AlignmentOptions.model_fields.keys() - AlgorithmOptions.model_fields.keys()
    if (unused := _first(given, "credit", alignment)) and algorithms and algorithms <= ALGORITHMS.keys() - {ALIGNMENT}:
        raise UserError(
            f"{before}credit.{unused} is an option of {ALIGNMENT}, which {' and '.join(sorted(algorithms))} would ignore; leave it "
            f"out, or train with {before}algorithm={ALIGNMENT}."
        )
    if (unused := _first(given, "social", SocialOptions.model_fields)) and rewards and SOCIAL not in rewards:
        raise UserError(
            f"{before}social.{unused} is an option of the reward {SOCIAL}, and training uses "
            f"{' and '.join(sorted(reward or 'the points' for reward in rewards))}; leave it out, or add {before}reward={SOCIAL}."
        )
    weights = [learner.social for learner in learners.values() if learner.reward == SOCIAL]
    if given.get("reward") == SOCIAL and "social" not in given and set(weights) == {SocialOptions()}:
        raise UserError(
            f"{before}reward={SOCIAL} changes nothing where {before}social.altruism, envy and guilt are all 0; give one of them, "
            f"e.g. {before}social.altruism=0.5, or leave out {before}reward={SOCIAL}."
        )


def _check_curriculum(given: Mapping[str, Any], curriculum: CurriculumOptions) -> None:
    """UserError for an option of other curricula."""
    unused = _first(given, "curriculum", CurriculumOptions.model_fields.keys() - {"method", *USED[curriculum.method]})
    if unused:
        methods = [method for method, options in USED.items() if unused in options]
        raise UserError(
            f"curriculum.{unused} is an option of the curricula {' and '.join(methods)}, and training uses {curriculum.method}; "
            f"leave it out, or add curriculum={methods[0]}."
        )


def _first(given: Mapping[str, Any], group: str, options: Any) -> str | None:
    """The first of these options of a group that is given."""
    return next((key for key in given.get(group) or () if key in options), None)
