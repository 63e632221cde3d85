"""A request on its way through the steps of the engine: its answer so far and what may follow.

Job ── asks (tokens that the model has not read) ── append (a token drawn, and those that the pattern forces) ──> generation
"""

from __future__ import annotations

import random
from asyncio import Future
from collections.abc import Sequence
from dataclasses import dataclass, field

from detente.engines.base import Generation, Request
from detente.engines.chats import Chat
from detente.engines.choices import Choices, Way
from detente.engines.grammar import Mask, Node
from detente.engines.passes import Ask


@dataclass(eq=False)
class Job:
    """``node`` is the point in the request's pattern; ``choices`` may be shared with jobs that ask the same."""

    request: Request
    future: Future[Generation]
    chat: Chat
    node: Node | None
    choices: Choices
    end_tokens: frozenset[int]
    unguided: Mask | None = None  # which tokens there are, where no pattern says which may come
    answer: tuple[int, ...] = ()
    logprobs: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._draws = random.Random(self.request.seed)
        self._force()

    @property
    def finished(self) -> bool:
        """Whether the answer is whole."""
        ended = bool(self.answer) and self.answer[-1] in self.end_tokens
        return ended or len(self.answer) >= self.request.sampling.max_tokens or (self.node is not None and self.node.finished)

    @property
    def mask(self) -> Mask | None:
        """Which tokens may come next; None for all."""
        return self.unguided if self.node is None else self.node.mask

    def uniform(self) -> float:
        """The next number of the request's own stream."""
        return self._draws.random()

    def append(self, token: int, logprob: float) -> None:
        """Add a token that was drawn, and those after it to which the pattern leaves no alternative: their probability is 1."""
        self._add(token, logprob)
        self._force()

    def ask(self) -> Ask:
        """What the model has not read of the prompt and the answer."""
        seen, prompt = len(self.chat.tokens), self.request.tokens
        if seen < len(prompt):
            return Ask(self.chat, (*prompt[seen:], *self.answer), seen)
        return Ask(self.chat, self.answer[seen - len(prompt) :], seen)

    def ask_aside(self, way: Way) -> Ask:
        """What the model has not read of the prompt and a way that the answer did not take."""
        prompt, held = self.request.tokens, len(self.chat.tokens)
        shared = next((i for i, (a, b) in enumerate(zip(way.tokens, self.answer, strict=False)) if a != b), len(self.answer))
        seen = min(len(prompt) + min(shared, len(way.tokens) - 1), held)  # the last one is read again, for its logits
        if seen < len(prompt):
            return Ask(self.chat, (*prompt[seen:], *way.tokens), seen, aside=True)
        return Ask(self.chat, way.tokens[seen - len(prompt) :], seen, aside=True)

    def generation(self, text: str) -> Generation:
        """The answer, whose text is given."""
        return Generation(text, self.answer, tuple(self.logprobs), self.choices.probabilities)

    def _add(self, token: int, logprob: float) -> None:
        self.answer = (*self.answer, token)
        self.logprobs.append(logprob)
        if self.node is not None:
            self.node = self.node.next(token)

    def _force(self) -> None:
        while self.node is not None and self.node.forced is not None and not self.finished:
            self._add(self.node.forced, 0.0)


def ways_aside(jobs: Sequence[Job]) -> list[tuple[Job, Way]]:
    """The likely ways to a choice that the answers did not take, each with a job that can ask about it."""
    taken = {(id(job.choices), job.answer) for job in jobs if not job.finished}
    found: dict[tuple[int, tuple[int, ...]], tuple[Job, Way]] = {}
    for job in jobs:
        for way in job.choices.missed(job.answer):
            key = (id(job.choices), way.tokens)
            if key not in taken:
                found.setdefault(key, (job, way))
    return list(found.values())
