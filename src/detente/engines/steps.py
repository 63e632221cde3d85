"""One token for every job: a pass over what the model has not read, then draws.

jobs ──> segments (of answers, and of probable candidates that they miss) ──> pass ──> logits ──> weigh candidates, append tokens
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

from torch import Tensor

from detente.engines.chats import Chat
from detente.engines.choices import Candidate, Choices
from detente.engines.jobs import Job, missed_candidates
from detente.engines.passes import Passes, Segment
from detente.engines.sampling import Draw, Norm, Sampler
from detente.errors import UserError
from detente.records import PolicyRef

PASS_TOKENS = 16384  # new tokens in one pass


Work = tuple[Segment, Job, Candidate | None]  # a job's next token, or the logits after a candidate that it probes


class Steps:
    """Takes jobs forward."""

    def __init__(self, passes: Passes, sampler: Sampler) -> None:
        self.passes, self._sampler = passes, sampler

    def read(self, chat: Chat, tokens: Sequence[int]) -> None:
        """Let the model read the first tokens of a chat."""
        self.passes.run([Segment(chat, tokens, 0)])

    def step(self, jobs: Sequence[Job]) -> None:
        """One token for every job that is not finished, and the logits of the candidates that answers have missed.

        UserError where logits are not finite.
        """
        work: list[Work] = [(job.segment(), job, None) for job in jobs if not job.finished]
        work += [(job.probe(candidate), job, candidate) for job, candidate in missed_candidates(jobs)]
        for batch in _batches(work):
            self._run(batch)

    def _run(self, batch: Sequence[Work]) -> None:
        output = self.passes.run([segment for segment, _, _ in batch])
        drawing: list[Job] = []
        draws: list[Draw] = []
        weighed: dict[tuple[Choices, tuple[int, ...]], tuple[Candidate, Job, int]] = {}
        for (_, job, probed), row in zip(batch, output.rows, strict=True):
            if probed is None:
                drawing.append(job)
                draws.append(Draw(row, job.mask, job.request.sampling.temperature, job.uniform()))
            candidate = job.choices.at(job.answer if probed is None else probed.tokens)
            if candidate is not None:
                weighed[job.choices, candidate.tokens] = (candidate, job, row)
        wanted = [(row, job.choices.next_tokens(candidate)) for candidate, job, row in weighed.values()]
        drawn, scores = self._sampler(partial(self.passes.logits, output), draws, wanted)
        norms = self._norms(partial(self.passes.logits, output), [(job, row) for _, job, row in weighed.values()])
        for (candidate, job, _), logits, norm in zip(weighed.values(), scores, norms, strict=True):
            if not job.choices.weigh(candidate, logits / job.request.sampling.temperature, norm):
                raise _not_finite(job.request.policy)
        for job, (token, logprob) in zip(drawing, drawn, strict=True):
            if math.isnan(logprob):
                raise _not_finite(job.request.policy)
            job.append(token, logprob)

    def _norms(self, logits: Callable[[Tensor | None], Tensor], rows: Sequence[tuple[Job, int]]) -> list[float | None]:
        """Of each row over all tokens that a free answer may have; None where answers are not free."""
        free = [(job, row) for job, row in rows if job.choices.free]
        norms = iter(self._sampler.norms(logits, [Norm(row, job.unguided, job.request.sampling.temperature) for job, row in free]))
        return [next(norms) if job.choices.free else None for job, _ in rows]


def _not_finite(policy: PolicyRef) -> UserError:
    return UserError(
        f"The scores that {policy} gives to its next token are not finite (NaN or infinity), so it cannot answer: its weights are "
        "damaged or far too large (optimizer.lr, lora.alpha), or answer.temperature is too small."
    )


def _batches(work: Sequence[Work]) -> list[list[Work]]:
    """Batches of at most PASS_TOKENS new tokens, or of one segment that has more."""
    batches: list[list[Work]] = []
    room = 0
    for item in work:
        new = len(item[0].tokens)
        if not batches or new > room:
            batches.append([])
            room = PASS_TOKENS
        batches[-1].append(item)
        room -= new
    return batches
