"""Recorded episodes, one file at a time: what a search needs to know of each episode, and where its line is.

    NNNNNN.jsonl.gz ── once ──> Fact per line: policies, invalid answers, rounds in which a player was exploited
                    ── on demand ──> one Episode

Never more than one file is in memory. Must not import torch.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from sys import intern

from detente import jsonl
from detente.errors import UserError
from detente.games import family_of, recorded
from detente.records import UNREADABLE, Episode, Turn
from detente.reports.transcript import kinds

MOST = 1 << 27  # bytes of text that are read of a file, for a small compressed file may unpack to any size


@dataclass(frozen=True, slots=True)
class Fact:
    """What a search knows of an episode without reading it again. ``invalid`` counts answers, ``exploited`` rounds."""

    place: int  # where its line begins, in bytes of text
    length: int
    kind: str  # of reports.transcript.KINDS
    iteration: int
    policies: tuple[str, ...]
    points: tuple[float, ...]  # per round, by player
    rounds: int
    invalid: int
    exploited: int


def facts(path: Path) -> tuple[Fact, ...]:
    """One per finished line of the file; UserError where it holds no episodes."""
    try:
        state = path.stat()
        return _facts(path, state.st_mtime_ns, state.st_size)
    except jsonl.TooMuchError as error:
        raise UserError(f"The file {path.name} cannot be shown: {error}.") from error
    except (OSError, *UNREADABLE) as error:
        raise UserError(f"The file {path.name} cannot be read as episodes.") from error


def episode(path: Path, number: int) -> tuple[Fact, Episode]:
    """The episode of a line, counted from 0; IndexError where there are fewer."""
    fact = facts(path)[number]
    return fact, Episode.from_json(text(path, fact))


def text(path: Path, fact: Fact) -> str:
    """The line of the file as it stands."""
    with jsonl.opened(path) as file:
        file.seek(fact.place)
        return file.read(fact.length).decode("utf-8")


def said(turn: Turn) -> str:
    """What a player said: a message without its tags, any other answer as it stands."""
    return str(turn.action) if turn.valid and turn.phase == "message" else turn.completion.text


def exploited(episode: Episode) -> list[list[int]]:
    """[round][players who were exploited in it], by the definition of the game's family."""
    game = recorded(episode.game)
    return family_of(game).exploited(game, episode)


@lru_cache(maxsize=1024)
def _facts(path: Path, _time: int, _size: int) -> tuple[Fact, ...]:
    """The facts of a file; time and size tell one state of the file from another."""
    episodes = []
    for place, line in _lines(path):
        episode = Episode.from_json(line)
        episodes.append((_fact(place, len(line), episode), replace(episode, rounds=())))  # the rounds would take the memory
    return tuple(
        replace(fact, kind=kind) for (fact, _), kind in zip(episodes, kinds([episode for _, episode in episodes]), strict=True)
    )


def _fact(place: int, length: int, episode: Episode) -> Fact:
    return Fact(
        place=place,
        length=length,
        kind="",
        iteration=episode.iteration,
        policies=tuple(intern(str(policy)) for policy in episode.policies),
        points=tuple(episode.mean_reward(player) for player in range(episode.num_players)),
        rounds=len(episode.rounds),
        invalid=sum(not turn.valid for turn in episode.turns()),
        exploited=sum(map(bool, exploited(episode))),
    )


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """The finished lines and where they begin: a file may be read while it is written."""
    place = 0
    for line in jsonl.lines(path, MOST):
        if line.endswith(b"\n") and line.strip():
            yield place, line
        place += len(line)
