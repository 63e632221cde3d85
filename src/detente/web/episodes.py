"""Recorded episodes, one file at a time: what a search needs to know of each, and where it lies.

    NNNNNN.jsonl.gz ── once ──> Fact per line: whom it met, invalid answers, rounds in which somebody was exploited
                    ── on demand ──> one Episode

However many files there are, never more than one of them is in memory. Must not import torch.
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

MOST = 1 << 27  # bytes of text that are read of one file, which may be a small one that unpacks to any size


@dataclass(frozen=True, slots=True)
class Fact:
    """What is known of an episode without reading it again. ``invalid`` counts answers, ``exploited`` rounds."""

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


def exploited(one: Episode) -> list[list[int]]:
    """For each round the players who were exploited in it, as the family of the game has it."""
    game = recorded(one.game)
    return family_of(game).exploited(game, one)


@lru_cache(maxsize=1024)
def _facts(path: Path, _time: int, _size: int) -> tuple[Fact, ...]:
    """The facts of a file in one of its states."""
    found = []
    for place, line in _lines(path):
        one = Episode.from_json(line)
        found.append((_fact(place, len(line), one), replace(one, rounds=())))  # without what it is made of
    return tuple(replace(fact, kind=kind) for (fact, _), kind in zip(found, kinds([one for _, one in found]), strict=True))


def _fact(place: int, length: int, one: Episode) -> Fact:
    return Fact(
        place=place,
        length=length,
        kind="",
        iteration=one.iteration,
        policies=tuple(intern(str(policy)) for policy in one.policies),
        points=tuple(one.mean_reward(player) for player in range(one.num_players)),
        rounds=len(one.rounds),
        invalid=sum(not turn.valid for turn in one.turns()),
        exploited=sum(map(bool, exploited(one))),
    )


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """The finished lines and where they begin: a file may be read while it is written."""
    place = 0
    for line in jsonl.lines(path, MOST):
        if line.endswith(b"\n") and line.strip():
            yield place, line
        place += len(line)
