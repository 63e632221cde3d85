"""What a player is told of the episodes before."""

from __future__ import annotations

import re
from typing import Any

import pytest

from detente.games import GAMES, make
from detente.games.base import Game
from detente.games.family import points_told
from detente.games.summaries import summary
from detente.matches import Counted, Guest, Scripts, play_scripts, play_sync
from detente.records import Completion, Episode, PolicyRef, Round, Seating, Turn
from detente.room import SILENT, Silent, in_silence

GAME = make("ipd", rounds=3)


def episode(*moves: str) -> Episode:
    """Rounds of ipd, "CD" where the first player cooperates and the second defects."""
    rounds = [
        Round(tuple(Turn(p, "", move[p], True, Completion(move[p], PolicyRef("script", "x"))) for p in (0, 1)), (0.0, 0.0), {})
        for move in moves
    ]
    return Episode(GAME.parameters(), 0, (PolicyRef("script", "x"),) * 2, tuple(rounds))


PAST = [episode("CC", "CD", "CC"), episode("DC", "DD", "DD")]


def test_counts_name_every_episode_with_its_joint_moves_own_first() -> None:
    assert summary("counts", GAME, PAST, 0) == (
        "So far with the same player:\nGame 1: you <A> they <A>: 2; you <A> they <B>: 1.\n"
        "Game 2: you <B> they <A>: 1; you <B> they <B>: 2."
    )
    assert summary("counts", GAME, PAST, 1).splitlines()[1] == "Game 1: you <A> they <A>: 2; you <B> they <A>: 1."


def test_last_names_the_last_round_alone() -> None:
    assert summary("last", GAME, PAST, 0) == "Your last round with the same player: you <B> they <B>."


@pytest.mark.parametrize(("briefing", "past"), [("none", PAST), ("counts", []), ("last", [])])
def test_nothing_is_told_where_there_is_nothing_to_tell(briefing: Any, past: Any) -> None:
    assert summary(briefing, GAME, past, 0) == ""


def test_labels_are_those_of_the_episode_that_comes_next() -> None:
    game = make("ipd", rounds=3, counterbalance=True)
    texts = {summary("last", game, PAST[:1], 0, seed) for seed in range(20)}
    assert texts == {f"Your last round with the same player: you {label} they {label}." for label in ("<A>", "<B>")}


def test_other_games_tell_points_and_those_of_others_only_where_they_are_known() -> None:
    game = make("split_no_comm", rounds=2)
    (played,) = play_scripts(game, ["greedy", "greedy"], 1)
    assert summary("last", game, [played], 1) == "Your last round with the same player: you got 60, they got 60."
    points = Round((), (3.0, 0.5, 2.0), {})
    assert points_told(GAME, points, 1, 0) == "you got 0.5, they got 3 and 2"
    hidden: Any = object()  # a game of the plain family
    assert points_told(hidden, points, 1, 0) == "you got 0.5"


def of_length(name: str, rounds: int) -> Game:
    """A game of so many rounds; a contract and a mediator last as long as the game inside."""
    if name in ("contract", "mediation"):
        return make(name, of={"name": "ipd", "rounds": rounds})
    return make(name, rounds=rounds, **({"payoffs": [[[3, 3], [0, 5]], [[5, 0], [1, 1]]]} if name == "matrix" else {}))


@pytest.mark.parametrize("name", GAMES)
def test_every_game_tells_of_the_episodes_before(name: str) -> None:
    """Every round is counted once, and what came last is among what was counted."""
    game = of_length(name, 3)
    episode = in_silence(game)[0]
    for seat in range(game.num_players):
        head, line = summary("counts", game, [episode], seat).splitlines()
        assert head == f"So far with the same {'player' if game.num_players == 2 else 'players'}:"
        assert sum(int(count) for count in re.findall(r": (\d+)[;.]", line.removeprefix("Game 1:"))) == 3
        last = summary("last", game, [episode], seat).partition(": ")[2].removesuffix(".")
        assert f"{last}: " in line


@pytest.mark.parametrize("name", GAMES)
def test_a_briefing_stands_once_after_the_first_words_of_every_game(name: str) -> None:
    game = of_length(name, 2)
    briefing = tuple(f"Strategy {seat}." for seat in range(game.num_players))
    seating = Seating((SILENT,) * game.num_players, briefing=briefing)
    (played,) = play_sync(Guest(Scripts(game), SILENT, Silent), game, [seating], stream=Counted())
    plain = in_silence(game)[0]
    for seat, text in enumerate(briefing):
        told, untold = ([turn.prompt for turn in episode.turns(seat)] for episode in (played, plain))
        if told:  # who is never asked is told nothing
            before, after = told[0].split(f"\n{text}")
            assert (before + after, told[1:]) == (untold[0], untold[1:])


def test_the_commons_tell_what_was_taken() -> None:
    (played,) = play_scripts(make("commons", rounds=2), ["greedy"] * 5, 1)
    assert summary("counts", make("commons"), [played], 0).splitlines()[1] == (
        "Game 1: you took 0, all together 0 of 0 tons: 1; you took 20, all together 100 of 100 tons: 1."
    )
