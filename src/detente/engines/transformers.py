"""The in-process engine: a Transformers model with PEFT adapters on a CPU or a GPU.

    requests ──> jobs ── steps (a pass of the model for all of them, and a token for each) ──> generations

Concurrent requests are batched; a chat's keys and values are kept between its turns; prefixes that chats of a policy share are
computed once; tokens that the pattern forces are appended without a pass. A request's seed alone decides its draws, in whatever
order requests arrive.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from weakref import WeakValueDictionary

import torch
from peft import PeftModel
from peft.config import PeftConfig
from torch import Tensor
from transformers import PreTrainedModel

from detente.backbone import attention
from detente.engines.adapters import Adapters
from detente.engines.base import Generation, Request
from detente.engines.cache import Pool
from detente.engines.chats import Chat, Chats
from detente.engines.choices import Choices
from detente.engines.grammar import Grammar
from detente.engines.jobs import Job
from detente.engines.passes import Passes
from detente.engines.sampling import Sampler
from detente.engines.steps import Steps
from detente.engines.texts import Texts
from detente.errors import room_for
from detente.records import PolicyRef

PLAY_LESS = "play fewer episodes at once (concurrency) or fewer rounds, or choose a smaller model"
Waiting = tuple[Request, asyncio.Future[Generation]]


class TransformersEngine:
    """Serves the base model and any number of its LoRA adapters.

    ``grammar`` guides decoding and says what ends an answer. ``serve`` makes a policy available, ``retire`` frees its place.
    """

    def __init__(self, model: PeftModel | PreTrainedModel, tokenizer: Any, grammar: Grammar) -> None:
        base: Any = model.get_base_model() if isinstance(model, PeftModel) else model
        attention.use(base)
        self.adapters = Adapters(model)
        self.device = next(model.parameters()).device
        self.grammar = grammar
        longest, limit = reach(model.config.get_text_config())
        self.audit: Callable[[Request, Generation], None] | None = None  # called with every answer before its request gets it
        self._pool = Pool()
        self._chats = Chats(self._pool)
        self._steps = Steps(
            Passes(self.adapters, self._pool, self._chats, longest, limit), Sampler(grammar.vocab_size, self.device)
        )
        self._choices: WeakValueDictionary[tuple[object, ...], Choices] = WeakValueDictionary()
        self._waiting: list[Waiting] = []
        self._worker: asyncio.Task[None] | None = None
        self._texts = Texts(tokenizer)

    @property
    def longest(self) -> int:
        """Tokens that a chat may have."""
        return self._steps.passes.longest

    @property
    def limit(self) -> str:
        """The name of that limit, for messages."""
        return self._steps.passes.limit

    # ---- policies

    def reserve(self, policy: str, config: PeftConfig, at_once: int = 1) -> None:
        """Make a place for an adapter that will be served later; see ``Adapters.reserve``. The others' are made as they come."""
        self.adapters.reserve(policy, config)

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
        self._chats.retire(policy)

    # ---- requests

    async def generate(self, request: Request) -> Generation:
        """Continue the request's chat; see Request. UserError if the chat outgrows the model's context."""
        if not self.serves(request.policy):
            raise KeyError(f"the policy {request.policy} is not served; served are {[str(p) for p in self.policies]}")
        future: asyncio.Future[Generation] = asyncio.get_running_loop().create_future()
        self._waiting.append((request, future))
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work())
        generation = await future
        if self.audit is not None:
            self.audit(request, generation)
        return generation

    def release(self, chat: str) -> None:
        """Forget the chat's cache."""
        self._chats.release(chat)

    def close(self) -> None:
        """Forget all chats and adapters; what is left is the model."""
        for policy in self.policies:
            self.retire(policy)
        self._chats.clear()
        self._texts.clear()

    async def _work(self) -> None:
        """Answer requests in batches until none are left."""
        jobs: list[Job] = []
        while True:
            await self._settle()
            waiting, self._waiting = [item for item in self._waiting if not item[1].done()], []  # done: cancelled meanwhile
            arrived = sorted(waiting, key=lambda item: (item[0].seed, item[0].chat))
            if not jobs and not arrived:
                return
            try:
                with room_for("the answers of models", PLAY_LESS), torch.inference_mode():
                    jobs = self._deliver(jobs + self._admit(arrived))
                    self._steps.step(jobs)
                    jobs = self._deliver(jobs)
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

    # ---- answers

    def _admit(self, arrived: Sequence[Waiting]) -> list[Job]:
        """Give each request a row with what is cached already."""
        opened = [self._chats.open(request.chat, request.policy) for request, _ in arrived]
        for (chat, _), (request, _) in zip(opened, arrived, strict=True):
            self._chats.keep_prefix(chat, request.tokens)
        new = [(chat, request.tokens) for (chat, fresh), (request, _) in zip(opened, arrived, strict=True) if fresh]
        self._chats.share_prefixes(new, lambda chat, tokens: self._steps.read(chat, tokens))
        return [self._job(chat, *item) for (chat, _), item in zip(opened, arrived, strict=True)]

    def _job(self, chat: Chat, request: Request, future: asyncio.Future[Generation]) -> Job:
        state = None if request.pattern is None else self.grammar.start(request.pattern)
        key: tuple[object, ...] = ()
        if request.choices:
            key = (chat.history, tuple(request.tokens[len(chat.tokens) :]), request.choices, request.sampling, request.free)
        choices = self._choices.get(key)
        if choices is None:
            longest = request.sampling.max_tokens if request.free else None
            choices = self._choices[key] = Choices(self.grammar, request.choices, longest)
        return Job(request, future, chat, state, choices, self.grammar.end_tokens, self.grammar.unguided)

    def _deliver(self, jobs: list[Job]) -> list[Job]:
        """Answer the finished requests; returns the others."""
        for job in jobs:
            if job.finished and not job.future.done() and not job.choices.missed(job.answer, finished=True):
                if job.request.pattern is not None:
                    self.grammar.keep(job.request.pattern, job.answer, tuple(job.masks))
                job.future.set_result(job.generation(self._texts(job.answer)))
        return [job for job in jobs if not job.future.done()]


def reach(config: Any) -> tuple[int, str]:
    """The longest chat and what bounds it: the model's positions, or its attention window where layers look no further back."""
    positions, window = getattr(config, "max_position_embeddings", 1 << 30), getattr(config, "sliding_window", None)
    slides = "sliding_attention" in (getattr(config, "layer_types", None) or ("sliding_attention",))
    if window and slides and window < positions:
        return int(window), "sliding window of attention"
    return int(positions), "context"
