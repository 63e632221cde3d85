"""A match that a person plays on a page: what the person has read and said, and the question that waits for an answer.

    play ── act ──> Person ── Question ──> page ── a line ──> answered ──> Completion ──> play
                                                  └─ invalid: why, and the question again

The match runs in the loop of ``matches``; pages read and answer from other threads. Must not import torch.
"""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from detente.errors import UserError
from detente.games.base import Game, Observation
from detente.games.family import family_of
from detente.players.base import Player
from detente.players.human import answered, explanation
from detente.policies import Policies
from detente.records import Completion, PolicyRef, Round

Stage = Literal["opening", "playing", "over", "failed"]
Said = tuple[int, str, str]  # the round, counted from 1; "told" or "said"; the text

GIVEN_UP = "This game was given up because its page was closed."
LEFT = "You left this game before it was over, so it was given up."


@dataclass(frozen=True)
class Question:
    """An observation that waits for the person's answer, and the future that gets it."""

    number: int
    observation: Observation
    answer: asyncio.Future[Completion]


@dataclass
class LiveMatch:
    """A match between a person and other policies. What pages read is replaced as a whole, never changed in place."""

    id: str
    title: str
    opponent: str
    seat: int
    players: int = 2
    role: str = ""  # what the person plays, where seats differ
    stage: Stage = "opening"
    problem: str = ""
    rules: str = ""
    said: tuple[Said, ...] = ()
    rounds: tuple[Round, ...] = ()
    question: Question | None = None
    asked: int = 0
    attempts: int = 1
    thinking: int = 0  # how many other players are answering now
    public: bool = False  # whether the rules tell the person the points of all players
    saved: str = ""  # the file of the episode below the folder of runs
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def ask(self, observation: Observation) -> asyncio.Future[Completion]:
        """Put a question to the person. In the loop."""
        self.tell(observation)
        self.asked, self.attempts = self.asked + 1, 1
        future: asyncio.Future[Completion] = asyncio.get_running_loop().create_future()
        self.question = Question(self.asked, observation, future)
        return future

    def tell(self, observation: Observation) -> None:
        """Show what the observation says beside the rules."""
        news = observation.text.removeprefix(self.rules).strip()
        self.said = (*self.said, *([(len(self.rounds) + 1, "told", news)] if news else []))

    def answer(self, number: int, line: str) -> str:
        """Take the answer to a question; returns why it is invalid, or "". From any thread."""
        with self._lock:
            question = self.question
            if question is None or question.number != number:
                return "This question has been answered already."
            text = answered(line, question.observation)
            if text is None:
                self.attempts += 1
                return f"{explanation(line, question.observation).rstrip('.')}."
            self.question = None
            self.said = (*self.said, (len(self.rounds) + 1, "said", in_words(line, question.observation)))
        completion = Completion(text, HUMAN, attempts=self.attempts)
        question.answer.get_loop().call_soon_threadsafe(_settle, question.answer, completion)
        return ""

    def leave(self) -> None:
        """The person leaves while it is asked something; UserError while another player thinks. From any thread."""
        question = self.question
        if self.thinking:
            raise UserError("Another player is thinking; leave the game once it has answered.")
        if question is not None:
            question.answer.get_loop().call_soon_threadsafe(self.give_up, LEFT)

    def give_up(self, why: str = GIVEN_UP) -> None:
        """End the match; only while no other player thinks, as its answer cannot be cancelled. In the loop."""
        with self._lock:
            question, self.question = self.question, None
        if question is not None:
            question.answer.set_exception(UserError(why))

    def keep_rules(self, game: Game, first: Observation) -> None:
        """Keep the rules apart from the rest of the first observation."""
        self.rules = family_of(game).rules(game) or first.text

    def state(self) -> dict[str, Any]:
        """What the page shows, as JSON."""
        question = self.question
        others = [player for player in range(len(self.rounds[0].rewards)) if player != self.seat] if self.rounds else []
        return {
            "stage": self.stage,
            "problem": self.problem,
            "rules": self.rules,
            "said": self.said,
            "points": [float(played.rewards[self.seat]) for played in self.rounds],
            "others": [[float(played.rewards[player]) for player in others] for played in self.rounds] if self._tells else None,
            "question": None if question is None else question_data(question),
            "saved": self.saved,
        }

    @property
    def _tells(self) -> bool:
        return self.public or self.stage == "over"


HUMAN = PolicyRef("human", "human")


@dataclass
class Person(Player):
    """The person of a match as a player."""

    match: LiveMatch
    game: Game

    @property
    def policy(self) -> PolicyRef:
        return HUMAN

    async def act(self, observation: Observation) -> Completion:
        if not self.match.rules:
            self.match.keep_rules(self.game, observation)
        return await self.match.ask(observation)

    def recall(self, observation: Observation, completion: Completion) -> None:
        if not self.match.rules:
            self.match.keep_rules(self.game, observation)
        self.match.tell(observation)
        self.match.said = (*self.match.said, (len(self.match.rounds) + 1, "said", completion.text))

    def close(self) -> None:
        """The match is over or has failed: the question, if any, is withdrawn."""
        question, self.match.question = self.match.question, None
        if question is not None:
            question.answer.cancel()


@dataclass
class Watched(Player):
    """Another player; the match knows whether it is thinking."""

    match: LiveMatch
    player: Player

    @property
    def policy(self) -> PolicyRef:
        return self.player.policy

    async def act(self, observation: Observation) -> Completion:
        self.match.thinking += 1
        try:
            return await self.player.act(observation)
        finally:
            self.match.thinking -= 1

    def recall(self, observation: Observation, completion: Completion) -> None:
        self.player.recall(observation, completion)

    def close(self) -> None:
        self.player.close()


@dataclass(frozen=True)
class MatchPlayers:
    """Makes the players of a match: the person, and the others watched."""

    match: LiveMatch
    policies: Policies

    def player(self, policy: PolicyRef, *, chat: str, seed: int) -> Player:
        if policy == HUMAN:
            return Person(self.match, self.policies.game)
        return Watched(self.match, self.policies.player(policy, chat=f"{self.match.id}/{chat}", seed=seed))

    def within(self, game: Game) -> MatchPlayers:
        return replace(self, policies=self.policies.within(game))

    def briefing(self, policy: PolicyRef) -> str:
        return self.policies.briefing(policy)

    def at_once(self, sitting: Sequence[PolicyRef]) -> int:
        """A person plays one episode at a time."""
        return 1


def question_data(question: Question) -> dict[str, Any]:
    """What a page needs to ask: buttons for choices, a field with a slider for each number, or a field for text."""
    observation = question.observation
    return {
        "number": question.number,
        "phase": observation.phase,
        "topic": observation.topic,
        "help": observation.help,
        "choices": observation.choices,
        "gaps": [] if observation.choices or observation.phase == "message" else gaps(observation),
    }


def gaps(observation: Observation) -> list[dict[str, Any]]:
    """The numbers that a form asks for: {"name", "low", "high"}; none unless the pattern lists the numbers for every gap."""
    listed = re.findall(r"\((-?\d+(?:\|-?\d+)*)\)", observation.pattern)
    lists = [[int(number) for number in numbers.split("|")] for numbers in listed]
    if len(lists) != observation.form.count("{}"):
        return []
    items: Sequence[str] = getattr(observation.view, "items", ())
    named = items if len(items) == len(lists) else [f"number {i}" for i in range(1, len(lists) + 1)]
    return [{"name": name, "low": min(numbers), "high": max(numbers)} for name, numbers in zip(named, lists, strict=True)]


def in_words(line: str, observation: Observation) -> str:
    """An answer as the page repeats it: ``7`` is ``7 coins``."""
    numbers, asked = re.findall(r"-?\d+", line), gaps(observation)
    if not asked or len(numbers) != len(asked):
        return line
    return ", ".join(f"{number} {gap['name']}" for number, gap in zip(numbers, asked, strict=True))


def _settle(future: asyncio.Future[Completion], completion: Completion) -> None:
    if not future.done():
        future.set_result(completion)
