"""What an engine is: something that continues token ids under a named policy.

    Request (tokens, policy, pattern, seed) ──> Engine.generate ──> Generation (tokens, log-probabilities)

Engines batch concurrent requests. The policy travels with each request; there is no "current adapter". Must not import torch.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Protocol

from detente.records import PolicyRef

THOUGHT_ENDS = ("</think>", "</thinking>")  # a model's thoughts come first, and one of these ends them


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a token is drawn: softmax of logits / temperature, no top-p, no top-k, at most ``max_tokens`` new tokens."""

    temperature: float = 1.0
    max_tokens: int = 400


@dataclass(frozen=True, slots=True)
class Request:
    """Continue ``tokens``, the whole chat so far.

    ``chat`` names the chat so that the engine can keep its key-value cache between turns. ``pattern`` constrains the text of
    the answer (None: free). ``choices`` asks for the probability of each of these texts: among them, or with ``free`` that a
    free answer of at most ``sampling.max_tokens`` tokens is this text, white space around it aside. The same seed, tokens and
    policy give the same answer.
    """

    chat: str
    tokens: Sequence[int]
    policy: PolicyRef
    seed: int
    sampling: Sampling = Sampling()
    pattern: str | None = None
    choices: tuple[str, ...] = ()
    free: bool = False


@dataclass(frozen=True, slots=True)
class Generation:
    """The new tokens (the end-of-turn token included where it was generated), their text without special tokens, the
    log-probability of each under the distribution it was drawn from, and the probability of each of the request's choices."""

    text: str
    tokens: tuple[int, ...]
    logprobs: tuple[float, ...]
    probabilities: tuple[float, ...] = ()


class Engine(Protocol):
    """Serves a base model, and any number of adapters on it, to players."""

    @property
    def longest(self) -> int:
        """Tokens that a chat may have."""
        ...

    @property
    def limit(self) -> str:
        """The name of that limit, for messages: "context"."""
        ...

    @property
    def policies(self) -> tuple[PolicyRef, ...]:
        """The adapters that are served."""
        ...

    def serves(self, policy: PolicyRef) -> bool:
        """Whether requests under this policy can be answered."""
        ...

    def reserve(self, policy: str, config: Any, at_once: int = 1) -> None:
        """Make a place for an adapter that will be served later, with so many ``at_once`` in all; UserError as for ``serve``."""
        ...

    def serve(self, policy: PolicyRef, weights: Mapping[str, Any], config: Any) -> None:
        """Make an adapter available: PEFT's tensors, which are copied, and PEFT's configuration.

        ValueError if it is served already, UserError if it does not fit the base model or cannot be served exactly.
        """
        ...

    def retire(self, policy: PolicyRef) -> None:
        """Stop serving an adapter."""
        ...

    async def generate(self, request: Request) -> Generation:
        """Continue the request's chat. KeyError if its policy is not served, UserError if the chat outgrows the model."""
        ...

    def release(self, chat: str) -> None:
        """Forget the chat's cache; called when its episode ends."""
        ...

    def close(self) -> None:
        """Serve no adapter any more, and let go of memory and connections; called when a run or an evaluation ends."""
        ...


@lru_cache(4096)
def spelled(text: str, end: int) -> tuple[int, ...]:
    """A text as tokens without a model: the code point of each character, and what ends it."""
    return (*map(ord, text), end)


@dataclass
class FakeEngine:
    """An engine without a model, for tests: ``answer(request)`` gives the text, or the seed picks a choice.

    A token is one character's code point; 3 ends a turn (as ``FakeChat`` in players/chat.py renders it).
    """

    answer: Callable[[Request], str] | None = None
    requests: list[Request] = field(default_factory=list)
    adapters: dict[PolicyRef, Mapping[str, Any]] = field(default_factory=dict)
    longest: int = 1 << 30
    limit: str = "context"

    @property
    def policies(self) -> tuple[PolicyRef, ...]:
        """The adapters given to ``serve``."""
        return tuple(self.adapters)

    def serves(self, policy: PolicyRef) -> bool:
        """Every policy answers alike."""
        return True

    def reserve(self, policy: str, config: Any, at_once: int = 1) -> None:
        """There is always room."""

    def serve(self, policy: PolicyRef, weights: Mapping[str, Any], config: Any) -> None:
        """Keep the weights."""
        self.adapters[policy] = weights

    def retire(self, policy: PolicyRef) -> None:
        """Forget the weights."""
        del self.adapters[policy]

    async def generate(self, request: Request) -> Generation:
        self.requests.append(request)
        if self.answer is not None:
            text = self.answer(request)
        else:
            options = request.choices or tuple(re.sub(r"\\(.)", r"\1", x) for x in (request.pattern or "").split("|"))
            text = options[request.seed % len(options)]
        tokens = spelled(text, 3)
        choices = len(request.choices)
        return Generation(text, tokens, (0.0,) * len(tokens), (1 / choices,) * choices if choices else ())

    def release(self, chat: str) -> None:
        """Nothing is kept."""

    def close(self) -> None:
        """Forget all weights."""
        self.adapters.clear()
