"""The record of play: who answered what, when, and what it earned.

    Episode ── rounds ──> Round ── turns ──> Turn          (one match, one reward per player, one answer)

An episode is written once; training, evaluation, reports and pages read it and never ask the run. Everything here is a
frozen dataclass of plain values that goes to JSON and back unchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import accumulate, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import orjson

from detente import jsonl

if TYPE_CHECKING:
    from pydantic import TypeAdapter

PolicyKind = Literal["adapter", "base", "script", "human", "remote"]
Number = int | float
# Of an episode's line. The 1st had neither its number nor steps of rounds, the 2nd no roles and measures, the 3rd no topics, the
# 4th no replayed turns and alternatives.
FORMAT = 5
UNREADABLE = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError)  # raised for odd records
STRICT = {"strict": True, "extra": "forbid", "allow_inf_nan": False}  # how pydantic reads a class of this file


@dataclass(frozen=True, slots=True)
class PolicyRef:
    """What decides for a seat: a value that travels with every request and every recorded turn.

    ``version`` counts the updates of an adapter; every other kind has version 0.
    """

    __pydantic_config__ = STRICT
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
    observation's choices, in their order, as the policy saw them (empty: unknown); under free decoding and retries they sum to the
    probability of a valid answer. Scripts, people and remote models have
    no tokens.
    """

    __pydantic_config__ = STRICT
    text: str
    policy: PolicyRef
    seed: int = 0
    prompt_tokens: tuple[int, ...] = ()
    tokens: tuple[int, ...] = ()
    logprobs: tuple[Number, ...] = ()
    pattern: str | None = None
    probabilities: tuple[Number, ...] = ()
    attempts: int = 1


@dataclass(frozen=True, slots=True)
class Turn:
    """One answer as the game took it. ``action`` is a JSON value; ``valid`` is False where the default action was played.

    ``phase`` tells talk from decisions; ``topic`` names the question where a round has several decisions, else it is "". A
    ``replayed`` turn is that of an earlier episode, taken from its record: nobody was asked, so nobody trains on it here.
    """

    __pydantic_config__ = STRICT
    player: int
    prompt: str
    action: Any
    valid: bool
    completion: Completion
    phase: Literal["message", "decision"] = "decision"
    topic: str = ""
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class Round:
    """The turns up to the moment when every player got a reward (points of the game, not divided by anything).

    ``steps`` says who answered at once: the first ``steps[0]`` turns are the first step, and so on. Empty where it is not known,
    in files of the first format.
    """

    __pydantic_config__ = STRICT
    turns: tuple[Turn, ...]
    rewards: tuple[Number, ...]
    info: dict[str, Any]
    steps: tuple[int, ...] = ()

    def by_step(self) -> list[tuple[Turn, ...]]:
        """The turns of each step. In files of the first format the last turns count as one step if they are of different players,
        and every earlier turn as a step of its own."""
        steps = self.steps
        if not steps:
            alone = max(0, len(self.turns) - len(self.rewards))
            last = len({turn.player for turn in self.turns[alone:]})
            steps = (1,) * alone + (last,) if last == len(self.turns) - alone else (1,) * len(self.turns)
        starts = [0, *accumulate(steps)]
        return [self.turns[start:end] for start, end in pairwise(starts)]


@dataclass(frozen=True, slots=True)
class Seating:
    """Which policy takes which seat of a match, and where its record belongs; these fields are those of ``Episode``.

    ``briefing`` is what each seat is told after the game's own first words; its turns record it as part of the prompt. ``replay``
    are the first turns, those of whole steps of another episode with the same game seed, which are taken without asking. The
    match ends after ``rounds`` at the latest (None: where the game ends it).
    """

    policies: tuple[PolicyRef, ...]
    learners: tuple[str | None, ...] = ()
    iteration: int = 0
    group: int = 0
    index: int = 0
    briefing: tuple[str, ...] = ()
    replay: tuple[Turn, ...] = ()
    rounds: int | None = None
    alternative_to: int | None = None


@dataclass(frozen=True, slots=True)
class Episode:
    """One match.

    ``game`` holds the name and the parameters that make it again; ``seed`` is the game seed, shared by the episodes of
    ``group``; ``policies[p]`` decided for player p; ``learners[p]`` names the learner that trains on player p's tokens, or is None.
    ``roles[p]`` is what player p's seat is called, where seats differ (else ()).
    ``measures[p]`` says of player p what only code from outside the package can measure, by name; () where there is no such code.
    ``alternative_to`` is the index of the episode of its iteration with which this one is only compared: what else could have come
    of the turns that are replayed. None: an episode that counts for itself.
    ``format`` is that of the episode's line in a file.
    """

    __pydantic_config__ = STRICT
    game: dict[str, Any]
    seed: int
    policies: tuple[PolicyRef, ...]
    rounds: tuple[Round, ...]
    learners: tuple[str | None, ...] = ()
    iteration: int = 0
    group: int = 0
    index: int = 0
    roles: tuple[str, ...] = ()
    measures: tuple[dict[str, Number | None], ...] = ()
    alternative_to: int | None = None
    format: int = FORMAT

    @property
    def num_players(self) -> int:
        return len(self.policies)

    def seat(self, player: int) -> str:
        """What a reader calls the player: its role, or ``player 2``."""
        return self.roles[player] if self.roles else f"player {player + 1}"

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
        """The line of a file, newline included. Numbers of a game may be NumPy's."""
        return orjson.dumps(self, option=orjson.OPT_APPEND_NEWLINE | orjson.OPT_SERIALIZE_NUMPY)

    @staticmethod
    def from_json(line: str | bytes) -> Episode:
        """The inverse of ``to_json``; ValueError says briefly what is wrong with a line that is no episode."""
        from pydantic import ValidationError

        try:
            episode: Episode = _reader().validate_json(line)
        except ValidationError as error:
            fault = error.errors(include_url=False, include_input=False)[0]
            place, message = ".".join(str(part) for part in fault["loc"]), fault["msg"]
            phrases = {"json_invalid": f"no {message.removeprefix('Invalid ')}", "missing": f"it has no '{place}'"}
            raise ValueError(phrases.get(fault["type"], f"{place}: {message[0].lower()}{message[1:]}")) from None
        _check(episode)
        return episode


@cache
def _reader() -> TypeAdapter[Episode]:
    """Reads and checks a line in one pass; pydantic is imported when a line is read."""
    from pydantic import TypeAdapter

    return TypeAdapter(Episode)


def _check(episode: Episode) -> None:
    """ValueError unless learners, roles, measures, rewards, turns and steps agree with the number of players."""
    count = episode.num_players
    if not 1 <= episode.format <= FORMAT:
        raise ValueError(f"format: {episode.format} is none that this version of detente knows; it reads those up to {FORMAT}")
    if not count:
        raise ValueError("policies: nobody played")
    for name, by_player in (("learners", episode.learners), ("roles", episode.roles), ("measures", episode.measures)):
        if len(by_player) not in (0, count):
            raise ValueError(f"{name}: {len(by_player)} for {count} players")
    for number, played in enumerate(episode.rounds):
        if len(played.rewards) != count:
            raise ValueError(f"rounds.{number}.rewards: {len(played.rewards)} for {count} players")
        if any(not 0 <= turn.player < count for turn in played.turns):
            raise ValueError(f"rounds.{number}.turns: the players are numbered from 0 to {count - 1}")
        if played.steps and (min(played.steps) < 1 or sum(played.steps) != len(played.turns)):
            raise ValueError(f"rounds.{number}.steps: {list(played.steps)} for {len(played.turns)} turns")


def write_episodes(path: Path, episodes: Iterable[Episode]) -> None:
    """Write one JSON line per episode, compressed where the file's name ends in .gz."""
    jsonl.write(path, (episode.to_line() for episode in episodes))


@contextmanager
def episode_writer(path: Path) -> Iterator[Callable[[Episode], None]]:
    """A function that takes episodes as they finish and writes them in the order of their indices, 0, 1, 2 ...

    An episode that finishes early is kept until its predecessors are there. However the block ends, every episode that was handed
    over is written. The first episode creates the file.
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
