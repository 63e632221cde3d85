"""Noise in matrix games: whose action is replaced and how often, what players are told, and what is on record."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import Any

import pytest

import detente
from detente.config import load
from detente.errors import UserError
from detente.evaluation.exploitability import exploitability
from detente.games import make
from detente.games.contract import check_game
from detente.games.family import exploited_by_actions, measured
from detente.games.matrix import MatrixState
from detente.games.sides import moves
from detente.policies import Policies
from detente.records import PolicyRef

RPS = [[[0, 0], [-1, 1], [1, -1]], [[1, -1], [0, 0], [-1, 1]], [[-1, 1], [1, -1], [0, 0]]]
NOISE = 0.05
POINTS = {"CC": 3, "CD": 0, "DC": 5, "DD": 1}  # the row player's


def tit_for_tat_pair(rounds: int) -> float:
    """Expected points of one of two tit-for-tats over so many rounds: a Markov chain on the joint move that was played."""
    intended, total = {"CC": 1.0}, 0.0
    for _ in range(rounds):
        played = dict.fromkeys(POINTS, 0.0)
        for meant, p in intended.items():
            for joint in played:
                played[joint] += p * prod(NOISE if a != b else 1 - NOISE for a, b in zip(joint, meant, strict=True))
        total += sum(p * POINTS[joint] for joint, p in played.items())
        intended = {joint[::-1]: p for joint, p in played.items()}
    return total


def slipping(game: Any, rounds: int) -> Iterator[tuple[float, float]]:
    """The probability of every pattern of slips, and what the row's tit-for-tat gets under it."""
    for slips in itertools.product([(0, 0), (0, 1), (1, 0), (1, 1)], repeat=rounds):
        state, total, own, other = MatrixState(rounds, ("A", "B"), (0, 1), slips=slips), 0.0, "C", "C"
        for _ in range(rounds):
            step = game.step(state, {0: own, 1: other})
            state, total = step.state, total + step.rewards[0]
            other, own = state.history[-1]
        yield prod(NOISE if slip else 1 - NOISE for pair in slips for slip in pair), total


def test_two_tit_for_tats_earn_what_their_chain_says() -> None:
    assert tit_for_tat_pair(1) == pytest.approx(3 * 0.9025 + 5 * 0.0475 + 1 * 0.0025)
    game = make("ipd", rounds=4, noise=NOISE)
    assert sum(p * total for p, total in slipping(game, 4)) == pytest.approx(tit_for_tat_pair(4))


def test_ten_noisy_rounds_in_play() -> None:
    episodes = detente.play(make("ipd", noise=NOISE), ["tit_for_tat", "tit_for_tat"], episodes=3000)
    mean = sum(sum(episode.rewards(0)) for episode in episodes) / 3000
    assert mean == pytest.approx(tit_for_tat_pair(10), abs=0.45)  # five standard errors


@pytest.mark.parametrize(
    "parameters",
    [
        {"name": "ipd", "noise": 0.3},
        {"name": "ipd", "noise": 1, "continuation": 0.8, "counterbalance": True},
        {"name": "matrix", "payoffs": RPS, "noise": 0.5},
        {"name": "matching_pennies", "noise": 0.2},
    ],
)
def test_the_contract_holds_under_noise(parameters: dict[str, Any]) -> None:
    check_game(make(**parameters))


def test_another_action_replaces_the_chosen_one_as_often_as_asked() -> None:
    game: Any = make("matrix", payoffs=RPS, noise=0.3, rounds=1000)
    slips = [slip for seed in range(3) for pair in game.reset(random.Random(seed)).slips for slip in pair]
    assert [slips.count(slip) / len(slips) for slip in (0, 1, 2)] == pytest.approx([0.7, 0.15, 0.15], abs=0.03)


def test_without_noise_nothing_is_drawn_or_told_otherwise() -> None:
    for seed in range(20):
        quiet, noisy = (make("ipd", counterbalance=True, continuation=0.9, noise=noise) for noise in (0.0, 0.5))
        one, other = quiet.reset(random.Random(seed)), noisy.reset(random.Random(seed))
        assert (one.horizon, one.labels, one.listing) == (other.horizon, other.labels, other.listing)
        assert one.slips == ()
    game: Any = make("ipd")
    after = game.step(game.reset(random.Random(0)), {0: "C", 1: "D"})
    assert (after.info, game.observe(after.state, 0).text) == ({}, "The other player picked <B>. Your label?")
    assert "noise" not in game.parameters()


def test_players_are_told_what_was_played_and_the_record_holds_both() -> None:
    game: Any = make("ipd", noise=1.0, rounds=2)
    state = game.reset(random.Random(0))
    assert "With a probability of 1 your label is replaced by the other one" in game.observe(state, 0).text
    after = game.step(state, {0: "C", 1: "D"})
    assert (after.rewards, after.info) == ((5, 0), {"played": ["D", "C"]})
    observation = game.observe(after.state, 0)
    assert observation.text == "You played <B>. The other player played <A>. Your label?"
    assert (observation.view.own, observation.view.other) == (("D",), ("C",))


def test_measures_count_choices_and_what_was_played_before_them() -> None:
    game = make("ipd", noise=1.0, rounds=3)
    (episode,) = detente.play(game, ["always_cooperate", "always_defect"])
    assert [turn.action for turn in episode.turns(0)] == ["C"] * 3
    assert [moves(played) for played in episode.rounds] == [{0: "D", 1: "C"}] * 3
    scalars, tables = measured(game, [(episode, 0)])
    assert (scalars["cooperation_rate"], scalars["reward"]) == (1.0, 5.0)
    assert tables["cooperate_given"] == {"start": 1.0, "CC": None, "CD": None, "DC": 1.0, "DD": None}
    assert exploited_by_actions(game, episode) == [[1]] * 3


def test_exact_values_say_that_they_know_no_noise() -> None:
    with pytest.raises(UserError, match="no exact values under noise"):
        exploitability(Policies.of(load("ipd", ["game.noise=0.1"])), PolicyRef("script", "tit_for_tat"))


@pytest.mark.parametrize("noise", [-0.1, 1.5, "often", True, float("nan")])
def test_noise_is_a_probability(noise: Any) -> None:
    with pytest.raises(UserError, match="noise is a probability"):
        make("ipd", noise=noise)


def test_a_transcript_shows_what_chance_made_of_an_answer(tmp_path: Path) -> None:
    from rich.console import Console

    from detente.reports.transcript import page_data, render_text

    (episode,) = detente.play(make("ipd", noise=1.0, rounds=1), ["always_cooperate", "always_defect"])
    screen = Console(width=120, record=True, file=(tmp_path / "out").open("w"))
    screen.print(render_text(episode))
    assert "→ C, by chance D" in screen.export_text()
    assert page_data([("other", episode)])["episodes"][0]["rounds"][0]["rows"][0][1]["action"] == "D, by chance C"
