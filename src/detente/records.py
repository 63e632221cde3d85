"""The record of play: who answered what, when, and what it earned.

    Episode ── rounds ──> Round ── turns ──> Turn          (one match, one reward per player, one answer)

An episode is written once; training, evaluation, reports and pages read it and never ask the run. Everything here is a
frozen dataclass of plain values that goes to JSON and back unchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import orjson

from detente import jsonl

PolicyKind = Literal["adapter", "base", "script", "human", "remote"]


@dataclass(frozen=True, slots=True)
class PolicyRef:
    """What decides for a seat: a value that travels with every request and every recorded turn.

    ``version`` counts the updates of an adapter; every other kind has version 0.
    """

    kind: PolicyKind
    name: str
    version: int = 0

    def __str__(self) -> str:
        return f"{self.name}@{self.version}" if self.kind == "adapter" else self.name


@dataclass(frozen=True, slots=True)
class Completion:
    """One answer of a player.

    ``prompt_tokens`` are what the chat grew by before the answer, ``tokens`` what was generated, ``logprobs`` the natural
    logarithm of each generated token's probability under the distribution that it was sampled from. ``pattern`` is the
    regular expression that decoding was constrained to (None: not constrained). ``probabilities`` are those of the
    observation's choices, in their order, as the policy saw them (empty: unknown). Scripts, people and remote models have
    no tokens.
    """

    text: str
    policy: PolicyRef
    seed: int = 0
    prompt_tokens: tuple[int, ...] = ()
    tokens: tuple[int, ...] = ()
    logprobs: tuple[float, ...] = ()
    pattern: str | None = None
    probabilities: tuple[float, ...] = ()
    attempts: int = 1


@dataclass(frozen=True, slots=True)
class Turn:
    """One answer as the game took it. ``action`` is a JSON value; ``valid`` is False where the default action was played.

    ``phase`` tells talk from decisions.
    """

    player: int
    prompt: str
    action: Any
    valid: bool
    completion: Completion
    phase: Literal["message", "decision"] = "decision"


@dataclass(frozen=True, slots=True)
class Round:
    """The turns up to the moment when every player got a reward (points of the game, not divided by anything)."""

    turns: tuple[Turn, ...]
    rewards: tuple[float, ...]
    info: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Episode:
    """One match.

    ``game`` holds the name and the parameters that make it again; ``seed`` is the game seed, shared by the episodes of
    ``group``; ``policies[p]`` decided for player p; ``learners[p]`` names the learner that trains on player p's tokens, or is None.
    """

    game: dict[str, Any]
    seed: int
    policies: tuple[PolicyRef, ...]
    rounds: tuple[Round, ...]
    learners: tuple[str | None, ...] = ()
    iteration: int = 0
    group: int = 0
    index: int = 0

    @property
    def num_players(self) -> int:
        return len(self.policies)

    def rewards(self, player: int) -> list[float]:
        """The player's reward in every round, in points."""
        return [r.rewards[player] for r in self.rounds]

    def mean_reward(self, player: int) -> float:
        """Points per round."""
        rewards = self.rewards(player)
        return sum(rewards) / len(rewards)

    def turns(self, player: int | None = None) -> Iterator[Turn]:
        """Every turn in the order played, of one player or of all."""
        return (t for r in self.rounds for t in r.turns if player is None or t.player == player)

    def to_json(self) -> str:
        """One line of JSON."""
        return self.to_line().decode().rstrip("\n")

    def to_line(self) -> bytes:
        """The same as it stands in a file, newline included. Numbers of a game may be NumPy's."""
        return orjson.dumps(self, option=orjson.OPT_APPEND_NEWLINE | orjson.OPT_SERIALIZE_NUMPY)

    @staticmethod
    def from_json(line: str | bytes) -> Episode:
        """The inverse of ``to_json``."""
        data = orjson.loads(line)
        data["policies"] = tuple(PolicyRef(**p) for p in data["policies"])
        data["learners"] = tuple(data["learners"])
        data["rounds"] = tuple(_round(r) for r in data["rounds"])
        return Episode(**data)


def _round(data: dict[str, Any]) -> Round:
    return Round(tuple(_turn(t) for t in data["turns"]), tuple(data["rewards"]), data["info"])


def _turn(data: dict[str, Any]) -> Turn:
    completion = data["completion"]
    completion["policy"] = PolicyRef(**completion["policy"])
    for key in ("prompt_tokens", "tokens", "logprobs", "probabilities"):
        completion[key] = tuple(completion[key])
    data["completion"] = Completion(**completion)
    return Turn(**data)


def write_episodes(path: Path, episodes: Iterable[Episode]) -> None:
    """Write one JSON line per episode, compressed where the file's name ends in .gz."""
    jsonl.write(path, (episode.to_line() for episode in episodes))


@contextmanager
def episode_writer(path: Path) -> Iterator[Callable[[Episode], None]]:
    """A function that takes episodes as they finish and writes them in the order of their indices, 0, 1, 2 ...

    One that finishes before its turn waits for it. However the block ends, every episode that was handed over is in the file, which
    is made with the first of them.
    """
    waiting: dict[int, Episode] = {}
    due, mode = 0, "w"

    def write(index: int) -> None:
        nonlocal mode
        jsonl.write(path, [waiting.pop(index).to_line()], mode)
        mode = "a"

    def take(episode: Episode) -> None:
        nonlocal due
        waiting[episode.index] = episode
        while due in waiting:
            write(due)
            due += 1

    try:
        yield take
    finally:
        for index in sorted(waiting):
            write(index)


def read_episodes(path: Path) -> list[Episode]:
    """Read what ``write_episodes`` wrote, plain or compressed."""
    return [Episode.from_json(line) for line in jsonl.lines(path) if line.strip()]
