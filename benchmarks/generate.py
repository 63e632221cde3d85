"""The baseline of the rollout: ``generate`` once per turn, on whole chats.

    requests of all chats that act now ── left-pad ──> one batch ── model.generate (its cache lives for this call) ──> answers

Games, prompts, players and records are ours: only the engine is another. An answer is drawn at the same temperature, of the same
regular expressions, with the same most tokens; a processor of logits follows them state by state. Log-probabilities of the answers,
which our engine records, are not computed here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import GenerationConfig, LogitsProcessor, StoppingCriteria

from detente.engines.base import Generation, Request
from detente.engines.grammar import Grammar, GrammarState, unpack


class Follow:
    """Where every row is in its pattern: what it may draw next, and whether its answer is over after how many tokens."""

    def __init__(self, grammar: Grammar, patterns: Sequence[str | None]) -> None:
        self.grammar = grammar
        self.states: list[GrammarState | None] = [None if pattern is None else grammar.start(pattern) for pattern in patterns]
        self.lengths, self.over = [0] * len(patterns), [False] * len(patterns)
        self.everything = np.full(-(-grammar.vocab_size // 8), 255, dtype=np.uint8)

    def allow(self, scores: Tensor) -> Tensor:
        """(B, V) the scores of what may come next; generation pads what is over."""
        packed = [self.everything if state is None or state.finished else state.packed for state in self.states]
        allowed = torch.from_numpy(unpack(np.stack(packed), self.grammar.vocab_size)).to(scores.device)
        return scores.masked_fill(~allowed, -torch.inf)

    def advance(self, tokens: Sequence[int]) -> list[bool]:
        """Take the token that each row drew; returns which are over."""
        for row, token in enumerate(tokens):
            if self.over[row]:
                continue
            state = self.states[row]
            if state is not None:
                state = self.states[row] = state.next(token)
            self.lengths[row] += 1
            self.over[row] = self.grammar.ends(token) or (state is not None and state.finished)
        return self.over


class Allow(LogitsProcessor):
    """Asked before every draw."""

    def __init__(self, follow: Follow) -> None:
        self.follow = follow

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        return self.follow.allow(scores)


class Stop(StoppingCriteria):
    """Asked after every draw."""

    def __init__(self, follow: Follow) -> None:
        self.follow = follow

    def __call__(self, input_ids: Tensor, scores: Tensor, **_: Any) -> Tensor:
        return torch.tensor(self.follow.advance(input_ids[:, -1].tolist()), device=input_ids.device)


class GenerateEngine:
    """An engine for one policy, the model as it is: every batch starts from nothing."""

    def __init__(self, model: Any, tokenizer: Any, end_tokens: Sequence[int]) -> None:
        self.model, self.tokenizer, self.end_tokens = model, tokenizer, list(end_tokens)
        vocab = model.get_output_embeddings().weight.shape[0]
        self.grammar = Grammar(tokenizer, vocab, end_tokens)
        self._waiting: list[tuple[Request, asyncio.Future[Generation]]] = []
        self._worker: asyncio.Task[None] | None = None

    async def generate(self, request: Request) -> Generation:
        """Continue the request's chat."""
        future: asyncio.Future[Generation] = asyncio.get_running_loop().create_future()
        self._waiting.append((request, future))
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work())
        return await future

    def release(self, chat: str) -> None:
        """Nothing is kept."""

    def close(self) -> None:
        """Nothing is kept."""

    async def _work(self) -> None:
        """Wait until everybody who can ask has asked, then answer all at once."""
        seen, quiet = 0, 0
        while quiet < 8:
            quiet = quiet + 1 if len(self._waiting) == seen else 0
            seen = len(self._waiting)
            await asyncio.sleep(0)
        batch, self._waiting = self._waiting, []
        try:
            for (_, future), answer in zip(batch, self._answers([request for request, _ in batch]), strict=True):
                future.set_result(answer)
        except Exception as error:
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)

    @torch.inference_mode()
    def _answers(self, requests: Sequence[Request]) -> list[Generation]:
        width, pad = max(len(request.tokens) for request in requests), self.end_tokens[0]
        sampling = requests[0].sampling
        ids = torch.tensor([[pad] * (width - len(request.tokens)) + list(request.tokens) for request in requests])
        mask = torch.tensor([[0] * (width - len(request.tokens)) + [1] * len(request.tokens) for request in requests])
        follow = Follow(self.grammar, [request.pattern for request in requests])
        torch.manual_seed(requests[0].seed % 2**31)
        device = next(self.model.parameters()).device
        written = self.model.generate(
            input_ids=ids.to(device),
            attention_mask=mask.to(device),
            logits_processor=[Allow(follow)],
            stopping_criteria=[Stop(follow)],
            generation_config=GenerationConfig(
                do_sample=True,
                temperature=sampling.temperature,
                top_k=0,
                top_p=1.0,
                max_new_tokens=sampling.max_tokens,
                eos_token_id=self.end_tokens,
                pad_token_id=pad,
            ),
        )[:, width:].tolist()
        return [self._generation(row[:length]) for row, length in zip(written, follow.lengths, strict=True)]

    def _generation(self, row: Sequence[int]) -> Generation:
        text = self.tokenizer.decode(row, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return Generation(text, tuple(row), (0.0,) * len(row))
