"""A request that is being answered: its answer so far and which tokens may follow.

Job ── segment (tokens that the model has not read) ── append (a drawn token, and those that the pattern forces) ──> generation
"""

from __future__ import annotations

import random
from asyncio import Future
from collections.abc import Sequence
from dataclasses import dataclass, field

from detente.engines.base import Generation, Request
from detente.engines.chats import Chat
from detente.engines.choices import Candidate, Choices
from detente.engines.grammar import GrammarState, Mask
from detente.engines.passes import Segment


@dataclass(eq=False)
class Job:
    """``state`` is that of the request's pattern; ``choices`` may be shared with jobs that have the same prompt."""

    request: Request
    future: Future[Generation]
    chat: Chat
    state: GrammarState | None
    choices: Choices
    end_tokens: frozenset[int]
    unguided: Mask | None = None  # the tokens that exist, for requests without a pattern
    answer: tuple[int, ...] = ()
    logprobs: list[float] = field(default_factory=list)
    masks: list[Mask] = field(default_factory=list)  # of each token, where there is a pattern

    def __post_init__(self) -> None:
        self._draws = random.Random(self.request.seed)
        self._force()

    @property
    def finished(self) -> bool:
        """Whether the answer is complete."""
        ended = bool(self.answer) and self.answer[-1] in self.end_tokens
        return ended or len(self.answer) >= self.request.sampling.max_tokens or (self.state is not None and self.state.finished)

    @property
    def mask(self) -> Mask | None:
        """Which tokens may come next; None for all."""
        return self.unguided if self.state is None else self.state.mask

    def uniform(self) -> float:
        """The next number of the request's own stream."""
        return self._draws.random()

    def append(self, token: int, logprob: float) -> None:
        """Add a token that was drawn, and those after it to which the pattern leaves no alternative: their probability is 1."""
        self._add(token, logprob)
        self._force()

    def segment(self) -> Segment:
        """What the model has not read of the prompt and the answer."""
        seen, prompt = len(self.chat.tokens), self.request.tokens
        if seen < len(prompt):
            return Segment(self.chat, (*prompt[seen:], *self.answer), seen)
        return Segment(self.chat, self.answer[seen - len(prompt) :], seen)

    def probe(self, candidate: Candidate) -> Segment:
        """What the model has not read of the prompt and a candidate that the answer does not reach."""
        prompt, tokens, held = self.request.tokens, candidate.tokens, len(self.chat.tokens)
        shared = next((i for i, (a, b) in enumerate(zip(tokens, self.answer, strict=False)) if a != b), len(self.answer))
        seen = min(len(prompt) + min(shared, len(tokens) - 1), held)  # the last token is read again, for its logits
        if seen < len(prompt):
            return Segment(self.chat, (*prompt[seen:], *tokens), seen, probe=True)
        return Segment(self.chat, tokens[seen - len(prompt) :], seen, probe=True)

    def generation(self, text: str) -> Generation:
        """The finished answer, of which this is the text."""
        return Generation(text, self.answer, tuple(self.logprobs), self.choices.probabilities)

    def _add(self, token: int, logprob: float) -> None:
        self.answer = (*self.answer, token)
        self.logprobs.append(logprob)
        if self.state is not None:
            self.masks.append(self.state.mask)
            self.state = self.state.next(token)

    def _force(self) -> None:
        while self.state is not None and self.state.forced is not None and not self.finished:
            self._add(self.state.forced, 0.0)


def missed_candidates(jobs: Sequence[Job]) -> list[tuple[Job, Candidate]]:
    """The probable candidates that no answer reaches, each with a job that can probe it."""
    reached = {(id(job.choices), job.answer) for job in jobs if not job.finished}
    missed: dict[tuple[int, tuple[int, ...]], tuple[Job, Candidate]] = {}
    for job in jobs:
        for candidate in job.choices.missed(job.answer, finished=job.finished):
            key = (id(job.choices), candidate.tokens)
            if key not in reached:
                missed.setdefault(key, (job, candidate))
    return list(missed.values())
