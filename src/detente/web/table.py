"""A table at which a person plays on a page: one game, what the person was told and said, and what it is asked now.

    play ── act ──> Person ── Question ──> page ── a line ──> answered ──> Completion ──> play
                                                  └─ no answer of the game: why, and the question again

The game runs in the loop of ``tables``; pages read and answer from other threads. Must not import torch.
"""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
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


@dataclass(frozen=True)
class Question:
    """What the person is asked, and where the answer goes."""

    number: int
    observation: Observation
    answer: asyncio.Future[Completion]


@dataclass
class Table:
    """One game between a person and others. What pages read is replaced as a whole, never changed in place."""

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
    thinking: int = 0  # how many others are answering now
    public: bool = False  # whether the rules tell the person everybody's points
    saved: str = ""  # the file of the episode below the folder of runs
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def ask(self, observation: Observation) -> asyncio.Future[Completion]:
        """Put a question to the person. In the loop."""
        news = observation.text.removeprefix(self.rules).strip()
        self.said = (*self.said, *([(len(self.rounds) + 1, "told", news)] if news else []))
        self.asked, self.attempts = self.asked + 1, 1
        future: asyncio.Future[Completion] = asyncio.get_running_loop().create_future()
        self.question = Question(self.asked, observation, future)
        return future

    def answer(self, number: int, line: str) -> str:
        """Take the answer to a question; returns why it is none, or "" . From any thread."""
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

    def give_up(self) -> None:
        """End the game; only while nobody else thinks, as an answer under way cannot be called back. In the loop."""
        with self._lock:
            question, self.question = self.question, None
        if question is not None:
            question.answer.set_exception(UserError(GIVEN_UP))

    def told_rules(self, game: Game, first: Observation) -> None:
        """Keep the rules apart from the rest of what the person is told first."""
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
    """The person on a seat of a table."""

    table: Table
    game: Game

    @property
    def policy(self) -> PolicyRef:
        return HUMAN

    async def act(self, observation: Observation) -> Completion:
        if not self.table.rules:
            self.table.told_rules(self.game, observation)
        return await self.table.ask(observation)

    def close(self) -> None:
        """The game is over, or came to grief: nothing is asked any more."""
        question, self.table.question = self.table.question, None
        if question is not None:
            question.answer.cancel()


@dataclass
class Watched(Player):
    """Another player, of whom the table knows whether it is thinking."""

    table: Table
    player: Player

    @property
    def policy(self) -> PolicyRef:
        return self.player.policy

    async def act(self, observation: Observation) -> Completion:
        self.table.thinking += 1
        try:
            return await self.player.act(observation)
        finally:
            self.table.thinking -= 1

    def close(self) -> None:
        self.player.close()


@dataclass(frozen=True)
class Sitting:
    """Makes the players of a table: the person, and everybody else watched."""

    table: Table
    policies: Policies

    def player(self, policy: PolicyRef, *, chat: str, seed: int) -> Player:
        if policy == HUMAN:
            return Person(self.table, self.policies.game)
        return Watched(self.table, self.policies.player(policy, chat=f"{self.table.id}/{chat}", seed=seed))

    def at_once(self, sitting: Sequence[PolicyRef]) -> int:
        """A person plays one episode at a time."""
        return 1


def question_data(question: Question) -> dict[str, Any]:
    """What a page needs to ask: buttons for choices, a field with a slider for each number, or a field for text."""
    seen = question.observation
    return {
        "number": question.number,
        "phase": seen.phase,
        "help": seen.help,
        "choices": seen.choices,
        "gaps": [] if seen.choices or seen.phase == "message" else gaps(seen),
    }


def gaps(observation: Observation) -> list[dict[str, Any]]:
    """The numbers that a form asks for: {"name", "low", "high"}; none unless the pattern lists the numbers for every gap."""
    lists = [[int(each) for each in found.split("|")] for found in re.findall(r"\((-?\d+(?:\|-?\d+)*)\)", observation.pattern)]
    if len(lists) != observation.form.count("{}"):
        return []
    items: Sequence[str] = getattr(observation.view, "items", ())
    named = items if len(items) == len(lists) else [f"number {i}" for i in range(1, len(lists) + 1)]
    return [{"name": name, "low": min(each), "high": max(each)} for name, each in zip(named, lists, strict=True)]


def in_words(line: str, observation: Observation) -> str:
    """An answer as the page repeats it: ``7`` is ``7 coins``."""
    numbers, asked = re.findall(r"-?\d+", line), gaps(observation)
    if not asked or len(numbers) != len(asked):
        return line
    return ", ".join(f"{number} {gap['name']}" for number, gap in zip(numbers, asked, strict=True))


def _settle(future: asyncio.Future[Completion], completion: Completion) -> None:
    if not future.done():
        future.set_result(completion)
