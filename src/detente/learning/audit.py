"""Was the policy that an episode names the one that was served? Every iteration a few turns are scored again.

The turn's log-probabilities are computed under the adapter that claims it, taken from where that adapter is kept (the learner's own
weights, the folder on disk), and under the others; the claim must fit, and fit best. Sampling from stale or base weights without
noticing is the most reported fault in reinforcement learning with LoRA.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from peft import PeftModel

from detente.engines.grammar import Grammar
from detente.errors import UserError
from detente.learning.batch import Trajectory, micro_batches, single_turn
from detente.learning.forward import Forward
from detente.records import Episode, PolicyRef, Turn
from detente.seeding import stream

Scope = Callable[[], AbstractContextManager[object]]  # inside it, the model runs under one policy


@dataclass(frozen=True)
class Audit:
    """Mean absolute gap of log-probabilities per claim, under the policy claimed and the best of the others."""

    claimed: float
    other: float


def audit(
    episodes: Sequence[Episode],
    sources: Mapping[PolicyRef, Scope],
    model: PeftModel,
    grammar: Grammar,
    *,
    turns: int,
    temperature: float,
    tolerance: float,
    seed: tuple[int | str, ...],
) -> Audit | None:
    """Score a sample of turns under every source; UserError if the claimed one does not fit, or another fits better.

    None where no language model took a turn. Gaps up to ``tolerance`` (nats) are rounding; ten times that never are, whatever
    else fits or not: the weights may be stale and nowhere to be compared with.
    """
    sample = _sample(episodes, sources, grammar, turns, seed)
    if not sample:
        return None
    gaps: dict[PolicyRef, dict[PolicyRef, float]] = defaultdict(dict)
    for policy, scope in sources.items():
        with torch.no_grad(), scope():
            for claim, found in sample.items():
                gaps[claim][policy] = _gap(model, found, temperature)
    worst = Audit(0.0, float("inf"))
    for claim, by_policy in gaps.items():
        own = by_policy.pop(claim)
        other, name = min(((gap, str(policy)) for policy, gap in by_policy.items()), default=(float("inf"), "any other"))
        if own > tolerance and (other < own or own > 10 * tolerance):
            raise UserError(
                f"Turns recorded as played by {claim} do not fit it (mean gap {own:.2g} nats, and {other:.2g} to {name}): "
                "the engine served the wrong weights, so the run stops."
            )
        worst = Audit(max(worst.claimed, own), min(worst.other, other))
    return worst


def _sample(
    episodes: Sequence[Episode], sources: Mapping[PolicyRef, Scope], grammar: Grammar, turns: int, seed: tuple[int | str, ...]
) -> dict[PolicyRef, list[Trajectory]]:
    rng = stream(*seed)
    claims: dict[PolicyRef, list[Trajectory]] = defaultdict(list)
    candidates = [
        (e, t) for e in rng.sample(list(episodes), min(turns, len(episodes))) for t in [_any_turn(e, sources, rng.random())] if t
    ]
    for episode, turn in candidates:
        one = single_turn(episode, turn, grammar)
        if len(one.drawn):
            claims[turn.completion.policy].append(one)
    return claims


def _any_turn(episode: Episode, sources: Mapping[PolicyRef, Scope], draw: float) -> Turn | None:
    served = [turn for turn in episode.turns() if turn.completion.policy in sources]
    return served[int(draw * len(served))] if served else None


def _gap(model: PeftModel, found: Sequence[Trajectory], temperature: float) -> float:
    device = next(model.parameters()).device
    total, count = 0.0, 0
    with Forward(model) as forward:
        for micro in micro_batches(found, 1 << 14, device):
            logprobs, _ = forward.token_logprobs(micro, temperature)
            total += float((logprobs - micro.engine_logprobs).abs().sum())
            count += len(micro.targets)
    return total / count
