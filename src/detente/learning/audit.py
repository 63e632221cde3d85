"""Did the engine serve the policy that an episode names? Every iteration a few turns are scored again.

The log-probabilities of a turn are computed under the policy that it claims, with weights from their source (the learner itself,
the folder on disk), and under other policies; the claim must fit, and fit best. Sampling from stale or base weights without
noticing is the most reported fault in reinforcement learning with LoRA. Also where nothing is trained, the first answers of each
policy are scored that way before they are used (``FirstAnswers``).
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from peft import PeftConfig, PeftModel
from torch import Tensor

from detente import adapters
from detente.engines.adapters import Adapters
from detente.engines.base import Generation, Request
from detente.engines.grammar import Grammar
from detente.errors import UserError
from detente.learning.batch import Trajectory, single_answer, single_turn
from detente.learning.forward import Forward, active
from detente.learning.micro_batches import micro_batches
from detente.models import LanguageModel
from detente.records import Completion, Episode, PolicyRef, Turn
from detente.seeding import stream

ROUNDING = {"float32": 1e-3, "bfloat16": 5e-2}  # nats; gaps of log-probabilities up to this are rounding
BETWEEN = {"float32": 1e-3, "float16": 5e-2, "bfloat16": 0.2}  # the same, where another program computes one of the two
OTHERS = 8  # policies beside those claimed that every claim is scored under; where one does not fit, all of them are
FIRST = 2  # answers of each policy that are scored before they are used
WAITING = 8  # answers of each policy that wait where none can be scored yet; some have no token that was drawn

Scope = Callable[[], AbstractContextManager[object]]  # inside it, the model runs under one policy


@dataclass(frozen=True)
class Audit:
    """Mean absolute gap of log-probabilities, under the policy claimed and under the best other policy; the worst of all claims."""

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
    """Score a sample of turns under the policies of all sources, at the ``temperature`` of the policy that each turn claims.

    None where no language model took a turn. UserError if the claimed policy does not fit, another policy fits better, or the
    scores of the claimed one are not finite. Gaps up to ``tolerance`` (nats) are rounding; gaps above ten times that are an error
    even if no other policy fits better, for the engine may have used stale weights that no source has.
    """
    sample = _sample(episodes, sources, grammar, turns, seed)
    if not sample:
        return None
    gaps: dict[PolicyRef, dict[PolicyRef, float]] = defaultdict(dict)

    def score(policies: Iterable[PolicyRef]) -> None:
        for policy in policies:
            with torch.no_grad(), sources[policy]():
                for claim, trajectories in sample.items():
                    gaps[claim][policy] = _gap(model, trajectories, temperature(claim))

    others = [policy for policy in sources if policy not in sample]
    drawn = set(stream(*seed, "others").sample(others, min(OTHERS, len(others))))
    score(policy for policy in sources if policy in sample or policy in drawn)
    if not all(gaps[claim][claim] <= tolerance for claim in sample):
        score(policy for policy in others if policy not in drawn)
    return worst([judged(claim, by_policy.pop(claim), by_policy, tolerance) for claim, by_policy in gaps.items()])


def judged(claim: PolicyRef, own: float, others: Mapping[PolicyRef, float], tolerance: float) -> Audit:
    """The gap to the claimed policy and the minimum gap to other policies.

    UserError if they show that another policy was served, or if the gap to the claimed policy is not finite.
    """
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
    """The largest gap to a claimed policy and the smallest to other policies; None without audits."""
    return Audit(max(audit.claimed for audit in audits), min(audit.other for audit in audits)) if audits else None


def tolerance(base: LanguageModel) -> float:
    """The gap in nats that the number format of the model explains."""
    return ROUNDING[str(base.model.dtype).removeprefix("torch.")]


def between(base: LanguageModel, served: str | None) -> float:
    """The gap in nats that the number formats of the model here and of a server explain; None: the server has that of the model."""
    own = str(base.model.dtype).removeprefix("torch.")
    return max(BETWEEN[own], BETWEEN[served or own])


@dataclass(eq=False)
class FirstAnswers:
    """Scores the first answers of every policy of an engine, with PEFT's forward under that adapter alone.

    ``served`` are the adapters of an engine of this process, none where servers have them. ``folders`` maps those that were read
    from disk to their folders, ``published`` those that servers were given; the weights of other adapters (a learner's) are taken
    from the engine.
    """

    served: Adapters
    grammar: Grammar
    base: LanguageModel
    folders: Mapping[PolicyRef, Path]
    tolerance: float  # the gap in nats that is rounding
    published: Mapping[PolicyRef, Path] = field(default_factory=dict)
    _waiting: list[tuple[Request, Generation]] | None = None

    def __call__(self, request: Request, generation: Generation) -> None:
        """UserError if the answer is one of the first and does not fit the request's policy."""
        if self._waiting is None:
            self._score(request, generation)
        elif sum(request.policy == earlier.policy for earlier, _ in self._waiting) < WAITING:
            self._waiting.append((request, generation))

    @contextmanager
    def later(self) -> Iterator[None]:
        """What is answered inside is scored at the end, as the model is in use till then."""
        waiting: list[tuple[Request, Generation]] = []
        self._waiting = waiting
        try:
            yield
        finally:
            self._waiting = None
        for request, generation in waiting:
            self._score(request, generation)

    def _score(self, request: Request, generation: Generation) -> None:
        policy, alone = request.policy, not isinstance(self.served.model, PeftModel)
        if self._scored[policy] >= FIRST or (alone and policy.kind == "base"):  # which cannot be confused with another policy
            return
        prompt, tokens, logprobs = tuple(request.tokens), generation.tokens, generation.logprobs
        answer = Completion("", policy, prompt_tokens=prompt, tokens=tokens, logprobs=logprobs, pattern=request.pattern)
        trajectories = [single_answer(answer, self.grammar)]
        if not len(trajectories[0].drawn):
            return
        self._scored[policy] += 1
        others = [policy]
        gaps: dict[PolicyRef, float] = {}
        for other in others:
            with torch.no_grad(), self.scope(other):
                model: Any = self._adapters.model
                gaps[other] = _gap(model, trajectories, request.sampling.temperature)
            if other == policy and gaps[policy] > self.tolerance:
                others += [o for o in (PolicyRef("base", "the base model"), *self.served.names, *self.published) if o != policy]
        judged(policy, gaps.pop(policy), gaps, self.tolerance)

    def scope(self, policy: PolicyRef) -> AbstractContextManager[object]:
        """Inside, the model runs under that policy."""
        model: Any = self._adapters.model
        if policy.kind == "base":
            scope: AbstractContextManager[object] = model.disable_adapter()
            return scope
        if folder := self.folders.get(policy) or self.published.get(policy):
            return self.from_disk(folder)
        return active(model, self.served.names[policy])

    def from_disk(self, folder: Path) -> AbstractContextManager[None]:
        """Inside, the model runs under the adapter of a folder."""
        return self.under(*adapters.load(folder, self.base))

    @contextmanager
    def under(self, weights: Mapping[str, Tensor], config: PeftConfig) -> Iterator[None]:
        """Inside, the model runs under an adapter of these weights."""
        scored = PolicyRef("adapter", "scored")
        self._adapters.add(scored, weights, config)
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
        trajectory = single_turn(episode, turn, grammar)
        if len(trajectory.drawn):
            claims[turn.completion.policy].append(trajectory)
    return claims


def _any_turn(episode: Episode, sources: Mapping[PolicyRef, Scope], draw: float) -> Turn | None:
    served = [turn for turn in episode.turns() if turn.completion.policy in sources and not turn.replayed]
    return served[int(draw * len(served))] if served else None


def _gap(model: PeftModel, trajectories: Sequence[Trajectory], temperature: float) -> float:
    device = next(model.parameters()).device
    total, count = 0.0, 0
    with Forward(model) as forward:
        for micro in micro_batches(trajectories, 1 << 14, device):
            logprobs, _ = forward.token_logprobs(forward.hidden_states(micro), micro, temperature)
            total += float((logprobs - micro.engine_logprobs).abs().sum())
            count += len(micro.targets)
    return total / count
