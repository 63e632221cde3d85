"""The in-process engine: a Transformers model with PEFT adapters on a CPU or a GPU.

    requests ──> one batch per step (several adapters, cached chats) ──> logits of the newest token ──> mask ──> draw ──> append

Concurrent requests are batched; a chat's keys and values stay between its turns; what chats of a policy have in common at
their start (the rules) is computed once; tokens that the pattern forces are appended without asking the model. A request's seed
alone decides its draws, whatever the order in which requests arrive.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from peft import PeftModel
from peft.config import PeftConfig
from torch import Tensor
from transformers import PreTrainedModel

from detente.engines.adapters import Adapters
from detente.engines.base import Generation, Request
from detente.engines.cache import Pool, make_slice
from detente.engines.choices import Choices
from detente.engines.grammar import Grammar, Node, unpack
from detente.errors import UserError
from detente.records import PolicyRef

PREFILL_TOKENS = 32768  # padded tokens in one forward pass
MAX_PREFIXES = 8  # shared starts that are kept per policy


@dataclass
class _Chat:
    """A row of the pool: which policy filled it and with what."""

    row: int
    policy: PolicyRef
    tokens: list[int] = field(default_factory=list)

    def keep_what_starts(self, tokens: Sequence[int]) -> None:
        """Forget all but what these tokens start with; the last of them stays to be computed, for its logits."""
        del self.tokens[min(_common(self.tokens, tokens), len(tokens) - 1) :]


@dataclass
class _Job:
    """A request on its way through the steps."""

    request: Request
    future: asyncio.Future[Generation]
    chat: _Chat
    tokens: list[int]  # prompt and answer so far
    node: Node | None  # of the request's pattern
    choices: Choices
    draws: random.Random
    logprobs: list[float] = field(default_factory=list)

    @property
    def generated(self) -> int:
        return len(self.logprobs)

    @property
    def answer(self) -> tuple[int, ...]:
        """The new tokens so far."""
        return tuple(self.tokens[len(self.request.tokens) :])


class TransformersEngine:
    """Serves the base model and any number of its LoRA adapters.

    ``end_tokens`` end an answer. ``serve`` makes a policy available, ``retire`` frees its place.
    """

    def __init__(self, model: PeftModel | PreTrainedModel, tokenizer: Any, end_tokens: Sequence[int]) -> None:
        self.adapters = Adapters(model)
        self.tokenizer = tokenizer
        self.device = next(model.parameters()).device
        self.vocab_size: int = model.get_output_embeddings().weight.shape[0]
        self.grammar = Grammar(tokenizer, self.vocab_size, end_tokens)
        self._end_tokens = frozenset(end_tokens)
        self._pool = Pool(model.config.get_text_config().num_hidden_layers)
        self._chats: dict[str, _Chat] = {}
        self._prefixes: dict[PolicyRef, list[_Chat]] = {}
        self._free_rows: list[int] = []
        self._waiting: list[tuple[Request, asyncio.Future[Generation]]] = []
        self._worker: asyncio.Task[None] | None = None
        self._texts: dict[tuple[int, ...], str] = {}
        self.longest = _context_length(model.config.get_text_config())
        if model.config.get_text_config()._attn_implementation not in ("sdpa", "detente"):
            raise ValueError("the engine's masks are understood by attn_implementation='sdpa' alone")

    # ---- policies

    def serve(self, policy: PolicyRef, weights: Mapping[str, Tensor], config: PeftConfig) -> None:
        """Make an adapter available under its name; see ``Adapters.add``."""
        self.adapters.add(policy, weights, config)

    def serves(self, policy: PolicyRef) -> bool:
        """Whether requests under this policy can be answered."""
        return policy.kind == "base" or policy in self.adapters.names

    @property
    def policies(self) -> tuple[PolicyRef, ...]:
        """The adapters that are served."""
        return tuple(self.adapters.names)

    def retire(self, policy: PolicyRef) -> None:
        """Free the policy's place; its chats and prefixes are forgotten."""
        self.adapters.remove(policy)
        for prefix in self._prefixes.pop(policy, []):
            self._free_rows.append(prefix.row)
        for chat in [name for name, chat in self._chats.items() if chat.policy == policy]:
            self.release(chat)

    # ---- requests

    async def generate(self, request: Request) -> Generation:
        """Continue the request's chat; see Request. UserError if the chat outgrows the model's context."""
        if not self.serves(request.policy):
            raise KeyError(f"the policy {request.policy} is not served; served are {[str(p) for p in self.policies]}")
        future: asyncio.Future[Generation] = asyncio.get_running_loop().create_future()
        self._waiting.append((request, future))
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work())
        return await future

    def release(self, chat: str) -> None:
        """Forget the chat's cache; with the last chat the prefixes go too, so that nothing depends on what was played before."""
        if chat in self._chats:
            self._free_rows.append(self._chats.pop(chat).row)
        if not self._chats:
            self._prefixes.clear()
            self._free_rows = list(range(self._pool.rows))

    async def _work(self) -> None:
        """Answer requests in batches until none are left."""
        jobs: list[_Job] = []
        while True:
            await self._settle()
            waiting, self._waiting = [item for item in self._waiting if not item[1].done()], []  # done: cancelled meanwhile
            arrived = sorted(waiting, key=lambda item: (item[0].seed, item[0].chat))
            if not jobs and not arrived:
                return
            try:
                jobs += self._admit(arrived)
                jobs = self._step(jobs)
            except Exception as error:
                for future in [job.future for job in jobs] + [future for _, future in arrived]:
                    if not future.done():
                        future.set_exception(error)
                return

    async def _settle(self) -> None:
        """Wait until every task that can run has queued its request, so that a batch does not depend on their order."""
        quiet, seen = 0, -1
        while quiet < 8:
            quiet = quiet + 1 if len(self._waiting) == seen else 0
            seen = len(self._waiting)
            await asyncio.sleep(0)

    # ---- steps

    def _admit(self, arrived: Sequence[tuple[Request, asyncio.Future[Generation]]]) -> list[_Job]:
        """Give each request a row and find what is cached already."""
        jobs, new = [], []
        for request, future in arrived:
            chat = self._chats.get(request.chat)
            if chat is None or chat.policy != request.policy:
                self.release(request.chat)
                chat = self._chats[request.chat] = _Chat(self._row(), request.policy)
                new.append((chat, request))
            chat.keep_what_starts(request.tokens)
            node = None if request.pattern is None else self.grammar.start(request.pattern)
            choices = Choices(self.grammar, request.choices)
            jobs.append(_Job(request, future, chat, list(request.tokens), node, choices, random.Random(request.seed)))
        with torch.inference_mode():
            self._share_prefixes(new)
        for job in jobs:
            self._force(job)
        return jobs

    def _share_prefixes(self, new: Sequence[tuple[_Chat, Request]]) -> None:
        """Copy to new chats what an earlier chat of the same policy has in common with them, computing it first if need be."""
        for chat, request in new:
            known = self._prefixes.setdefault(chat.policy, [])
            best = max((_common(prefix.tokens, request.tokens) for prefix in known), default=0)
            if best < 0.9 * (len(request.tokens) - 1) and len(known) < MAX_PREFIXES and len(new) > 1:
                prefix = _Chat(self._row(), chat.policy)
                self._forward([(prefix, request.tokens[:-1])])  # alone: its rounding must not depend on the others
                known.append(prefix)
        copies: dict[tuple[int, int], list[int]] = {}
        for chat, request in new:
            nearest = max(self._prefixes[chat.policy], key=lambda p: _common(p.tokens, request.tokens), default=None)
            if nearest is not None:
                length = min(_common(nearest.tokens, request.tokens), len(request.tokens) - 1)
                chat.tokens = list(request.tokens[:length])
                copies.setdefault((nearest.row, length), []).append(chat.row)
        for (source, length), rows in copies.items():
            self._pool.copy(source, rows, length)

    def _step(self, jobs: list[_Job]) -> list[_Job]:
        """One token for every job; returns the jobs that are not finished."""
        jobs = self._deliver(jobs)
        jobs.sort(key=lambda job: (len(job.tokens) - len(job.chat.tokens), job.chat.row))
        with torch.inference_mode():
            for batch in _batches(jobs):
                logits = self._forward([(job.chat, job.tokens) for job in batch])
                self._draw(batch, logits)
        return self._deliver(jobs)

    def _forward(self, work: Sequence[tuple[_Chat, Sequence[int]]]) -> Tensor:
        """Run the tokens after each chat's cached ones, and cache them; returns the logits of the newest (B, V)."""
        cached = [len(chat.tokens) for chat, _ in work]
        new = [len(tokens) - start for (_, tokens), start in zip(work, cached, strict=True)]
        longest = max(len(tokens) for _, tokens in work)
        if longest > self.longest:
            raise UserError(
                f"A chat has grown to {longest} tokens but the model reads {self.longest}; "
                "play fewer rounds or allow fewer tokens per answer (answer.max_tokens)."
            )
        self._pool.reserve(self._pool.rows, longest)
        self._pool.part = make_slice([chat.row for chat, _ in work], cached, new, self.device)
        ids = np.zeros((len(work), max(new)), dtype=np.int64)
        for i, (_, tokens) in enumerate(work):
            ids[i, ids.shape[1] - new[i] :] = tokens[cached[i] :]
        model = self.adapters.model
        if model.training:
            model.eval()
        logits: Tensor = model(
            input_ids=torch.from_numpy(ids).to(self.device),
            position_ids=self._pool.part.positions,
            attention_mask=self._pool.part.attention_mask,
            past_key_values=self._pool,
            use_cache=True,
            logits_to_keep=1,
            **self.adapters.choose([chat.policy for chat, _ in work]),
        ).logits[:, -1]
        for chat, tokens in work:
            chat.tokens = list(tokens)
        return logits

    def _draw(self, jobs: Sequence[_Job], logits: Tensor) -> None:
        """Draw one token per job from softmax(masked logits / temperature) by inverting its distribution function."""
        temperature = torch.tensor([job.request.sampling.temperature for job in jobs], device=self.device)
        logits = logits.float() / temperature[:, None]  # (B, V)
        for job, row in zip(jobs, logits, strict=True):
            self._weigh(job, job.answer, row)
        logits = logits.masked_fill(~self._allowed(jobs), float("-inf"))
        logprobs = logits.log_softmax(-1)
        cumulative = logprobs.double().exp().cumsum(-1)
        uniform = torch.tensor([job.draws.random() for job in jobs], dtype=torch.float64, device=self.device)
        drawn = torch.searchsorted(cumulative, uniform[:, None] * cumulative[:, -1:], right=True)  # (B, 1)
        chosen = logprobs.gather(-1, drawn)[:, 0].tolist()
        for job, token, logprob in zip(jobs, drawn[:, 0].tolist(), chosen, strict=True):
            self._append(job, token, logprob)
            self._force(job)
        self._follow(jobs)

    def _allowed(self, jobs: Sequence[_Job]) -> Tensor:
        """(B, V) the tokens that each pattern allows; all of them for a free answer."""
        everything = np.full(-(-self.vocab_size // 8), 255, dtype=np.uint8)
        packed = [everything if job.node is None else job.node.packed for job in jobs]
        return torch.from_numpy(unpack(np.stack(packed), self.vocab_size)).to(self.device)

    def _weigh(self, job: _Job, answer: tuple[int, ...], logits: Tensor) -> None:
        """Note what the logits (V,), those after ``answer``, say about the choices."""
        way = job.choices.at(answer)
        if way is not None:
            tokens = torch.from_numpy(job.choices.next_tokens(way)).to(self.device)
            job.choices.weigh(way, logits[tokens].double().cpu().numpy())

    def _follow(self, jobs: Sequence[_Job]) -> None:
        """Ask the model about the likely ways to a choice that the answers did not take, one of every chat at a time."""
        while missed := [(job, way) for job in jobs if (way := job.choices.missed(job.answer))]:
            work = [(job.chat, [*job.request.tokens, *way.tokens]) for job, way in missed]
            for chat, tokens in work:
                chat.keep_what_starts(tokens)
            logits = self._forward(work)
            for (job, way), row in zip(missed, logits, strict=True):
                self._weigh(job, way.tokens, row.float() / job.request.sampling.temperature)
                job.chat.keep_what_starts(job.tokens)

    def _append(self, job: _Job, token: int, logprob: float) -> None:
        job.tokens.append(token)
        job.logprobs.append(logprob)
        if job.node is not None:
            job.node = job.node.next(token)

    def _force(self, job: _Job) -> None:
        """Append the tokens to which the pattern leaves no alternative: their probability is 1."""
        while job.node is not None and job.node.forced is not None and not self._finished(job):
            self._append(job, job.node.forced, 0.0)

    def _finished(self, job: _Job) -> bool:
        ended = job.generated > 0 and job.tokens[-1] in self._end_tokens
        return ended or job.generated >= job.request.sampling.max_tokens or (job.node is not None and job.node.finished)

    def _deliver(self, jobs: list[_Job]) -> list[_Job]:
        """Answer the finished requests; returns the others."""
        for job in jobs:
            if self._finished(job) and not job.future.done():
                text = self._text(job.answer)
                job.future.set_result(Generation(text, job.answer, tuple(job.logprobs), job.choices.probabilities))
        return [job for job in jobs if not job.future.done()]

    def _text(self, tokens: tuple[int, ...]) -> str:
        if tokens not in self._texts:
            if len(self._texts) > 4096:
                self._texts.clear()
            self._texts[tokens] = self.tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return self._texts[tokens]

    def _row(self) -> int:
        if not self._free_rows:
            rows = self._pool.rows
            self._pool.reserve(max(16, 2 * rows), self._pool.capacity)
            self._free_rows = list(range(rows, self._pool.rows))
        self._free_rows.sort(reverse=True)
        return self._free_rows.pop()


def _batches(jobs: Sequence[_Job]) -> list[list[_Job]]:
    """Split jobs sorted by new tokens so that no batch holds more than PREFILL_TOKENS, padding included."""
    batches: list[list[_Job]] = []
    for job in jobs:
        new = len(job.tokens) - len(job.chat.tokens)
        if batches and (len(batches[-1]) + 1) * new <= PREFILL_TOKENS:
            batches[-1].append(job)
        else:
            batches.append([job])
    return batches


def _common(a: Sequence[int], b: Sequence[int]) -> int:
    """Length of the longest common prefix."""
    n = min(len(a), len(b))
    if list(a[:n]) == list(b[:n]):
        return n
    return next(i for i in range(n) if a[i] != b[i])


def _context_length(config: Any) -> int:
    """The longest chat: the model's positions, or its attention window where layers look no further back."""
    positions, window = getattr(config, "max_position_embeddings", 1 << 30), getattr(config, "sliding_window", None)
    slides = "sliding_attention" in (getattr(config, "layer_types", None) or ("sliding_attention",))
    return int(min(positions, window) if window and slides else positions)
