"""A language model on a seat: one growing chat of token ids, answered by an engine. Must not import torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from detente.engines.base import Engine, Request, Sampling
from detente.errors import UserError
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

    The probabilities of a completion are those that a choice is what comes of all tries, so that they sum to the probability of a
    valid answer. ``guided`` constrains the next answers, so that the chat can be continued with any, and leaves these as they are.
    """

    engine: Engine
    chat: Chat
    policy: PolicyRef
    chat_id: str
    seed: int
    decoding: Literal["constrained", "retry", "free"] = "constrained"
    retries: int = 3
    sampling: Sampling = field(default_factory=Sampling)
    guided: bool = False
    _tokens: Tokens = field(default_factory=Tokens, init=False)
    _previous: tuple[int, ...] = field(default=(), init=False)
    _turn: int = field(default=0, init=False)

    async def act(self, observation: Observation) -> Completion:
        """Append the observation to the chat and the answer after it."""
        prompt = self._prompt(observation)
        tokens = self._tokens + prompt
        free = self.decoding != "constrained"
        pattern = None if free and not self.guided else observation.pattern
        choices = () if self.chat.thinks else observation.choices  # a thought comes before the choice
        attempts, tries = 0, self.retries if self.decoding == "retry" else 1
        while True:
            seed = derive(self.seed, self._turn, attempts)
            generation = await self.engine.generate(
                Request(self.chat_id, tokens, self.policy, seed, self.sampling, pattern, choices, free)
            )
            attempts += 1
            text = generation.text if pattern is not None else spoken(generation.text)
            if attempts >= tries or observation.accepts(text):
                break
        self._append(prompt, generation.tokens)
        return Completion(
            text=text,
            policy=self.policy,
            seed=seed,
            prompt_tokens=prompt,
            tokens=generation.tokens,
            logprobs=generation.logprobs,
            pattern=pattern,
            probabilities=after_tries(generation.probabilities, tries),
            attempts=attempts,
        )

    def recall(self, observation: Observation, completion: Completion) -> None:
        """Append the observation and the recorded tokens to the chat; UserError where they are not what follows in it."""
        prompt = self._prompt(observation)
        if prompt != completion.prompt_tokens or not completion.tokens:
            raise UserError(
                f"A recorded answer of {completion.policy} cannot be replayed by {self.policy}: it has other tokens, or another "
                "model, game or briefing was before it."
            )
        self._append(prompt, completion.tokens)

    def close(self) -> None:
        """Let the engine forget the chat."""
        self.engine.release(self.chat_id)

    def _prompt(self, observation: Observation) -> tuple[int, ...]:
        return self.chat.reply(observation.text, self._previous) if self._turn else self.chat.opening(observation.text)

    def _append(self, prompt: tuple[int, ...], answer: tuple[int, ...]) -> None:
        self._tokens = self._tokens + prompt + answer
        self._previous = answer
        self._turn += 1


def after_tries(probabilities: tuple[float, ...], tries: int) -> tuple[float, ...]:
    """From the probabilities of one try those that a choice is what comes of so many tries until one is valid.

    One try is valid with probability v, one of n tries with 1 - (1 - v)^n.
    """
    valid = sum(probabilities)
    if tries == 1 or not 0 < valid < 1:
        return probabilities
    return tuple(p / valid * (1 - (1 - valid) ** tries) for p in probabilities)
