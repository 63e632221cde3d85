"""Was the policy that an episode names the one that was served? Every iteration a few turns are scored again.

The turn's log-probabilities are computed under the adapter that claims it, taken from where that adapter is kept (the learner's own
weights, the folder on disk), and under the others; the claim must fit, and fit best. Sampling from stale or base weights without
noticing is the most reported fault in reinforcement learning with LoRA. Wherever policies play, trained here or not, the first
answers of each are scored that way before anybody sees them (``FirstAnswers``).
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel

from detente.engines.adapters import Adapters
from detente.engines.base import Generation, Request
from detente.engines.grammar import Grammar
from detente.errors import UserError
from detente.learning import adapters
from detente.learning.batch import Trajectory, micro_batches, single_answer, single_turn
from detente.learning.forward import Forward, active
from detente.models import LanguageModel
from detente.records import Completion, Episode, PolicyRef, Turn
from detente.seeding import stream

ROUNDING = {"float32": 1e-3, "bfloat16": 5e-2}  # nats; gaps of log-probabilities up to this are not an audit's concern
FIRST = 2  # answers of each policy that are scored before anybody sees them

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
    temperature: Callable[[PolicyRef], float],
    tolerance: float,
    seed: tuple[int | str, ...],
) -> Audit | None:
    """Score a sample of turns under every source, at the ``temperature`` of whoever claims them; UserError if the claimed one does
    not fit, another fits better, or the claimed one's scores are not finite.

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
                gaps[claim][policy] = _gap(model, found, temperature(claim))
    return worst([judged(claim, by_policy.pop(claim), by_policy, tolerance) for claim, by_policy in gaps.items()])


def judged(claim: PolicyRef, own: float, others: Mapping[PolicyRef, float], tolerance: float) -> Audit:
    """The gap to the policy that is claimed and the least to others; UserError if they show that another one was served,
    or that its scores are not finite."""
    if math.isnan(own):
        raise UserError(f"Turns recorded as played by {claim} cannot be checked: its scores are not finite (NaN or infinity).")
    finite = [(gap, str(policy)) for policy, gap in others.items() if not math.isnan(gap)]
    other, name = min(finite, default=(math.inf, "any other"))
    if own > tolerance and (other < own or own > 10 * tolerance):
        raise UserError(
            f"Turns recorded as played by {claim} do not fit it (mean gap {own:.2g} nats, and {other:.2g} to {name}): "
            "the engine served the wrong weights, so play stops."
        )
    return Audit(own, other)


def worst(audits: Sequence[Audit]) -> Audit | None:
    """The largest gap to a claim and the smallest to others; None of no audits."""
    return Audit(max(one.claimed for one in audits), min(one.other for one in audits)) if audits else None


def tolerance(base: LanguageModel) -> float:
    """Nats that the number format of the model explains."""
    return ROUNDING[str(base.model.dtype).removeprefix("torch.")]


@dataclass(frozen=True)
class FirstAnswers:
    """Scores the first answers of every policy of an engine of this process, as PEFT computes it when it alone is active.

    ``served`` are the engine's adapters. ``folders`` says where adapters lie that were read from the disk; others (a learner's) are
    taken as they are served.
    """

    served: Adapters
    grammar: Grammar
    base: LanguageModel
    folders: Mapping[PolicyRef, Path]

    def __call__(self, request: Request, generation: Generation) -> None:
        """UserError if the answer is one of the first and does not fit the request's policy."""
        model, policy = self.served.model, request.policy
        if self._scored[policy] >= FIRST or not isinstance(model, PeftModel):  # a base model alone has nobody to be confused with
            return
        prompt, tokens, logprobs = tuple(request.tokens), generation.tokens, generation.logprobs
        answer = Completion("", policy, prompt_tokens=prompt, tokens=tokens, logprobs=logprobs, pattern=request.pattern)
        found, allowed = [single_answer(answer, self.grammar)], tolerance(self.base)
        if not len(found[0].drawn):
            return
        self._scored[policy] += 1
        others = [policy]
        gaps: dict[PolicyRef, float] = {}
        for other in others:
            with torch.no_grad(), self.scope(other):
                gaps[other] = _gap(model, found, request.sampling.temperature)
            if other == policy and gaps[policy] > allowed:
                others += [o for o in (PolicyRef("base", "the base model"), *self.served.names) if o != policy]
        judged(policy, gaps.pop(policy), gaps, allowed)

    def scope(self, policy: PolicyRef) -> AbstractContextManager[object]:
        """Inside, the model runs under that policy."""
        model: Any = self._adapters.model
        if policy.kind == "base":
            scope: AbstractContextManager[object] = model.disable_adapter()
            return scope
        if policy in self.folders:
            return self.from_disk(self.folders[policy])
        return active(model, self.served.names[policy])

    @contextmanager
    def from_disk(self, folder: Path) -> Iterator[None]:
        """Inside, the model runs under the adapter of a folder."""
        scored = PolicyRef("adapter", str(folder))
        self._adapters.add(scored, *adapters.load(folder, self.base))
        try:
            model: Any = self._adapters.model
            with active(model, self._adapters.names[scored]):
                yield
        finally:
            self._adapters.remove(scored)

    @cached_property
    def _adapters(self) -> Adapters:
        return Adapters(self.served.model, "scored")

    @cached_property
    def _scored(self) -> Counter[PolicyRef]:
        return Counter()


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
