"""The engine whose answers come from vLLM servers.

    Request ──> a body ── fleet ──> JSON ── checked token by token ──> Generation, with the probabilities of choices

The same seed, tokens and policy give the same answer on the same server alone; in another batch, or on another server, rounding
may decide a draw otherwise. So runs can be repeated in distribution, not token by token.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from detente.engines.base import Generation, Request
from detente.engines.choices import Candidate, Choices
from detente.engines.grammar import Grammar
from detente.engines.mixing import refused
from detente.engines.texts import Texts
from detente.engines.vllm.answers import LIKELIEST, Answer, Scores, Unusable, body, read
from detente.engines.vllm.fleet import Fleet
from detente.engines.vllm.publishing import Published
from detente.errors import ServiceError, UserError, counted
from detente.records import PolicyRef

SPARE_SLOTS = 1  # the base model is none of a server's adapters; vLLM for CPUs has given it the last one's place


class VLLMEngine:
    """Serves the base model ``name`` of the servers, and adapters on it; ``longest`` and ``slots`` are what they allow."""

    def __init__(
        self, fleet: Fleet, published: Published, name: str, grammar: Grammar, tokenizer: Any, longest: int, slots: int | None
    ) -> None:
        self._fleet, self._published, self._name = fleet, published, name
        self.grammar, self.longest, self.limit = grammar, longest, "context of the servers"
        self._slots = slots
        self._texts = Texts(tokenizer)
        self.audit: Callable[[Request, Generation], None] | None = None  # called with every answer before its request gets it

    # ---- policies

    @property
    def policies(self) -> tuple[PolicyRef, ...]:
        """The adapters that are served."""
        return tuple(self.folders)

    @property
    def folders(self) -> Mapping[PolicyRef, Path]:
        """Where the adapters lie that the servers were given."""
        return self._published.folders

    def serves(self, policy: PolicyRef) -> bool:
        """Whether requests under this policy can be answered."""
        return policy.kind == "base" or policy in self.folders

    def reserve(self, policy: str, config: Any, at_once: int = 1) -> None:
        """Servers make places by themselves; UserError for an adapter that cannot be served, or where they mix too few at once."""
        if (reason := refused(config)) is not None:
            raise UserError(f"The adapter {policy} cannot be served: {reason}.")
        needed = at_once + SPARE_SLOTS
        if self._slots is not None and needed > self._slots:
            adapters = counted(at_once, "adapter")
            raise ServiceError(
                f"The servers mix {self._slots} adapters, too few for {adapters} and the base model at once: start them with "
                f"--max-loras {needed} at least (detente serve-engine MODEL --adapters {at_once})."
            )

    def serve(self, policy: PolicyRef, weights: Mapping[str, Any], config: Any) -> None:
        """Publish an adapter to every server.

        ValueError if it is served already, UserError if it cannot be, or if the servers have too few slots.
        """
        if policy in self.folders:
            raise ValueError(f"{policy} is served already")
        self.reserve(str(policy), config, len(self.folders) + 1)
        folder = self._published.add(policy, weights, config)
        try:
            self._fleet.publish(folder.name, folder)
        except UserError:
            self._published.remove(policy)
            raise

    def retire(self, policy: PolicyRef) -> None:
        """Have an adapter served no more."""
        self._fleet.withdraw(self._published.remove(policy).name)

    # ---- requests

    async def generate(self, request: Request) -> Generation:
        """Continue the request's chat; see Request. UserError if the chat outgrows the context of the servers."""
        if not self.serves(request.policy):
            raise KeyError(f"the policy {request.policy} is not served; served are {[str(p) for p in self.policies]}")
        allowed = min(request.sampling.max_tokens, self.longest - len(request.tokens))
        if allowed < 1:
            raise self._outgrown(len(request.tokens) + 1)
        answer = await self._answer(request, self._body(request, allowed))
        if answer.cut and len(answer.tokens) < request.sampling.max_tokens and allowed < request.sampling.max_tokens:
            raise self._outgrown(self.longest + 1)
        generation = Generation(
            self._texts(answer.tokens), answer.tokens, answer.logprobs, await self._probabilities(request, answer)
        )
        if self.audit is not None:
            self.audit(request, generation)
        return generation

    def release(self, chat: str) -> None:
        """Servers forget by themselves."""

    def close(self) -> None:
        """Have no adapter served any more, and remove the folders."""
        self._fleet.close()
        self._published.close()
        self._texts.clear()

    def _body(self, request: Request, tokens: int) -> dict[str, Any]:
        name = self._name if request.policy.kind == "base" else self.folders[request.policy].name
        ends = sorted(self.grammar.end_tokens)
        return body(request, name, tokens=tokens, end_tokens=ends, likeliest=bool(request.choices))

    async def _answer(self, request: Request, content: dict[str, Any]) -> Answer:
        said, server = await self._fleet.complete(request.chat, content)
        try:
            return read(said, request, self.grammar)
        except Unusable as reason:
            raise UserError(f"The server {server.url} {reason}.") from None

    def _outgrown(self, tokens: int) -> UserError:
        return UserError(
            f"A chat has grown to {tokens} tokens, more than the {self.longest} of the {self.limit}; play fewer rounds, allow "
            "fewer tokens per answer (answer.max_tokens), or start the servers with a longer --max-model-len."
        )

    # ---- probabilities of choices

    async def _probabilities(self, request: Request, answer: Answer) -> tuple[float, ...]:
        """Of each of the request's choices: from the answer itself, and from further requests for what it does not show."""
        choices = Choices(self.grammar, request.choices, request.sampling.max_tokens if request.free else None)
        for place, scores in enumerate(answer.scores):
            candidate = choices.at(answer.tokens[:place])
            if candidate is not None and (request.free or _whole(scores, choices.next_tokens(candidate))):
                _weigh(choices, candidate, scores, request)
        while missed := choices.missed(answer.tokens, finished=True):
            scores_of = await asyncio.gather(*(self._scores(request, choices, candidate) for candidate in missed))
            for candidate, scores in zip(missed, scores_of, strict=True):
                _weigh(choices, candidate, scores, request)
        return choices.probabilities

    async def _scores(self, request: Request, choices: Choices, candidate: Candidate) -> Scores:
        """Log-probabilities of the tokens that may follow a candidate; up to a number that they share, but of a free answer."""
        if choices.free:
            return await self._next(request, candidate, ())
        first, *others = choices.next_tokens(candidate).tolist()
        parts = [others[start : start + LIKELIEST - 1] for start in range(0, max(1, len(others)), LIKELIEST - 1)]
        told = await asyncio.gather(*(self._next(request, candidate, (first, *part)) for part in parts))
        return {token: score - scores.get(first, 0.0) for scores in told for token, score in scores.items()}

    async def _next(self, request: Request, candidate: Candidate, among: Sequence[int]) -> Scores:
        """Log-probabilities of the next token after a candidate, among these tokens (none: among all) and the likeliest only."""
        probe = replace(request, tokens=[*request.tokens, *candidate.tokens], pattern=None)
        content = self._body(probe, 1) | ({"allowed_token_ids": list(among)} if among else {})
        return (await self._answer(probe, content)).scores[0]


def _whole(scores: Scores, tokens: Any) -> bool:
    """Whether the scores of all these tokens are known: a token that is not among them cannot be, unless more are than are told."""
    return len(scores) < LIKELIEST or all(token in scores for token in tokens.tolist())


def _weigh(choices: Choices, candidate: Candidate, scores: Scores, request: Request) -> None:
    logits = np.array([scores.get(token, -np.inf) for token in choices.next_tokens(candidate).tolist()])
    if not choices.weigh(candidate, logits, 0.0 if choices.free else None):
        raise UserError(f"The servers tell no log-probabilities of what {request.policy} may say next; look at their logs.")
