"""A language model on a seat: one growing chat of token ids, answered by an engine. Must not import torch."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal

from detente.engines.base import Engine, Request, Sampling
from detente.games.base import Observation
from detente.players.chat import Chat
from detente.players.thoughts import spoken
from detente.players.tokens import Tokens
from detente.records import Completion, PolicyRef
from detente.seeding import derive


@dataclass
class LLMPlayer:
    """Answers observations with a policy that the engine serves.

    ``chat_id`` is the engine's name for this chat; no other chat has it. ``decoding``: "constrained" to the observation's pattern,
    "retry" (up to ``retries`` free samples until one matches it), or "free" (one free sample). The thoughts before a free answer
    are no part of its text, and stay in the chat token for token. Attempts before the last leave no trace in the chat:
    ``prompt_tokens`` and ``tokens`` of the completions, joined, are the chat.
    """

    engine: Engine
    chat: Chat
    policy: PolicyRef
    chat_id: str
    seed: int
    decoding: Literal["constrained", "retry", "free"] = "constrained"
    retries: int = 3
    sampling: Sampling = field(default_factory=Sampling)
    _tokens: Tokens = field(default_factory=Tokens, init=False)
    _previous: tuple[int, ...] = field(default=(), init=False)
    _turn: int = field(default=0, init=False)

    async def act(self, observation: Observation) -> Completion:
        """Append the observation to the chat and the answer after it."""
        prompt = self.chat.reply(observation.text, self._previous) if self._turn else self.chat.opening(observation.text)
        tokens = self._tokens + prompt
        pattern = observation.pattern if self.decoding == "constrained" else None
        choices = () if self.chat.thinks else observation.choices  # a thought comes before the choice
        attempts, tries = 0, self.retries if self.decoding == "retry" else 1
        while True:
            seed = derive(self.seed, self._turn, attempts)
            generation = await self.engine.generate(
                Request(self.chat_id, tokens, self.policy, seed, self.sampling, pattern, choices)
            )
            attempts += 1
            text = generation.text if pattern is not None else spoken(generation.text)
            if attempts >= tries or re.fullmatch(observation.pattern, text):
                break
        self._tokens = tokens + generation.tokens
        self._previous = generation.tokens
        self._turn += 1
        return Completion(
            text=text,
            policy=self.policy,
            seed=seed,
            prompt_tokens=prompt,
            tokens=generation.tokens,
            logprobs=generation.logprobs,
            pattern=pattern,
            probabilities=generation.probabilities,
            attempts=attempts,
        )

    def close(self) -> None:
        """Let the engine forget the chat."""
        self.engine.release(self.chat_id)
