"""One token for every job: a pass over what the model has not read, then draws.

jobs ──> asks (answers, and likely ways to a choice that they did not take) ──> pass ──> scores ──> weigh ways, append tokens
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from detente.engines.chats import Chat
from detente.engines.choices import Choices, Way
from detente.engines.jobs import Job, ways_aside
from detente.engines.passes import Ask, Passes
from detente.engines.sampling import Draw, Look, Sampler
from detente.errors import UserError
from detente.records import PolicyRef

PASS_TOKENS = 16384  # new tokens in one pass


class Query(NamedTuple):
    """What a job asks: for its next token, or about a way."""

    ask: Ask
    job: Job
    way: Way | None = None


class Steps:
    """Takes jobs forward."""

    def __init__(self, passes: Passes, sampler: Sampler) -> None:
        self.passes, self._sampler = passes, sampler

    def read(self, chat: Chat, tokens: Sequence[int]) -> None:
        """Let the model read the first tokens of a chat."""
        self.passes.run([Ask(chat, tokens, 0)])

    def step(self, jobs: Sequence[Job]) -> None:
        """One token for every job that is not finished, and a look at the ways that answers have missed.

        UserError where the model's scores are not finite, so that they say nothing of what comes next.
        """
        queries = [Query(job.ask(), job) for job in jobs if not job.finished]
        queries += [Query(job.ask_aside(way), job, way) for job, way in ways_aside(jobs)]
        for part in _split(queries):
            self._answer(part)

    def _answer(self, queries: Sequence[Query]) -> None:
        states = self.passes.run([query.ask for query in queries])
        drawing: list[Job] = []
        draws: list[Draw] = []
        looking: dict[tuple[Choices, tuple[int, ...]], tuple[Way, Job, Look]] = {}
        for (_, job, aside), state in zip(queries, states.of, strict=True):
            temperature = job.request.sampling.temperature
            if aside is None:
                drawing.append(job)
                draws.append(Draw(state, job.mask, temperature, job.uniform()))
            way = job.choices.at(job.answer if aside is None else aside.tokens)
            if way is not None:
                looking[job.choices, way.tokens] = (way, job, Look(state, job.choices.next_tokens(way)))
        drawn, seen = self._sampler(partial(self.passes.logits, states), draws, [look for _, _, look in looking.values()])
        for (choices, _), (way, job, _), logits in zip(looking, looking.values(), seen, strict=True):
            if not choices.weigh(way, logits / job.request.sampling.temperature):
                raise _not_finite(job.request.policy)
        for job, (token, logprob) in zip(drawing, drawn, strict=True):
            if math.isnan(logprob):
                raise _not_finite(job.request.policy)
            job.append(token, logprob)


def _not_finite(policy: PolicyRef) -> UserError:
    return UserError(
        f"The scores that {policy} gives to its next token are not finite (NaN or infinity), so it cannot answer: its weights are "
        "damaged or far too large (optimizer.lr, lora.alpha), or answer.temperature is too small."
    )


def _split(queries: Sequence[Query]) -> list[list[Query]]:
    """Parts of at most PASS_TOKENS new tokens."""
    parts: list[list[Query]] = []
    room = 0
    for query in queries:
        new = len(query.ask.tokens)
        if not parts or new > room:
            parts.append([])
            room = PASS_TOKENS
        parts[-1].append(query)
        room -= new
    return parts
