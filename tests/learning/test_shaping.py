"""Rewards of somebody's own train, and everything else keeps the game's points."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import detente
from detente import config
from detente.errors import UserError
from detente.learning.checks import check
from detente.learning.credit import ALGORITHMS, Group
from detente.learning.shaping import harm, margin, mean_reward, named, shaped, social
from detente.options import CreditOptions, SocialOptions
from detente.records import Episode, read_episodes

REWARDS = """
import numpy as np

def generous(episode):
    return [[sum(played.rewards)] * episode.num_players for played in episode.rounds]

def array(episode):
    return np.ones((len(episode.rounds), episode.num_players))

def fails(episode): raise KeyError("x")
def nothing(episode): return None
def flat(episode): return [1.0] * len(episode.rounds)
def long(episode): return [[1.0, 1.0]] * (len(episode.rounds) + 1)
def broken(episode): return [[float("nan"), 1.0]] * len(episode.rounds)
def wide(episode): return [[1.0, 1.0, 1.0]] * len(episode.rounds)
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "own_reward.py").write_text(REWARDS)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "own_reward", raising=False)
    return "own_reward"


def test_rewards_in_place_of_points(module: str) -> None:
    (episode,) = detente.play("ipd", ["always_defect", "always_cooperate"], overrides=["game.rounds=2"])
    (made,) = shaped([episode], f"{module}:generous")
    assert [played.rewards for played in episode.rounds] == [(5, 0)] * 2
    assert [played.rewards for played in made.rounds] == [(5, 5)] * 2
    assert [r.rewards for r in shaped([episode], f"{module}:array")[0].rounds] == [(1, 1)] * 2
    assert made.rounds[0].turns == episode.rounds[0].turns
    assert (made.policies, made.seed) == (episode.policies, episode.seed)


def test_a_learner_without_an_episode_has_no_mean_reward() -> None:
    """As in an iteration in which its kept versions play everywhere."""
    (episode,) = detente.play("ipd", ["always_defect", "always_cooperate"], overrides=["game.rounds=2"])
    assert mean_reward([replace(episode, learners=("main", None))], "main") == 5
    assert mean_reward([replace(episode, learners=("main", None))], "other") is None


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("fails", "raised KeyError 'x'; --debug shows where"),
        ("nothing", "returned None; it should be 2 rows of 2 finite numbers"),
        *((name, "returned .*; it should be 2 rows of 2 finite numbers") for name in ("flat", "long", "broken", "wide")),
    ],
)
def test_rewards_that_are_none(name: str, sentence: str, module: str) -> None:
    episodes = detente.play("ipd", ["random", "random"], overrides=["game.rounds=2"])
    with pytest.raises(UserError, match=f"^The reward 'own_reward:{name}' {sentence}"):
        shaped(episodes, f"{module}:{name}")


def test_training_uses_them_and_says_both(module: str, tiny_model: str, tmp_path: Path) -> None:
    options = f"game.rounds=2 model={tiny_model} device=cpu iterations=1 episodes=4 group_size=2 lora.rank=2 evaluation.episodes=0"
    changes = options.split()
    run = detente.train(config.load("ipd", [*changes, "credit.beta=0.0", f"reward={module}:generous"]), tmp_path / "own")
    row = json.loads((run / "metrics.jsonl").read_text())
    episodes = read_episodes(run / "episodes" / "000001.jsonl.gz")
    assert row["reward/main"] == pytest.approx(mean_reward(episodes, "main"))
    assert row["shaped_reward/main"] == pytest.approx(2 * row["reward/main"])
    together = detente.train(config.load("ipd", [*changes, "algorithm=sum_of_rewards"]), tmp_path / "sum")
    same = json.loads((together / "metrics.jsonl").read_text())
    assert row["loss/main"] == pytest.approx(same["loss/main"], rel=1e-4)  # the sum of rewards, by another way
    assert "shaped_reward/main" not in same


def test_a_reward_is_checked_before_anything_is_loaded(module: str) -> None:
    with pytest.raises(UserError, match=r"^There is no reward 'generous'; there are: harm, margin, module:attribute, social"):
        check(config.load("ipd", ["reward=generous"]))
    with pytest.raises(UserError, match="does not name a reward that can be imported"):
        check(config.load("ipd", ["seats=[main,other]", f"learners.other.reward={module}:absent"]))


def test_no_file_brings_a_reward_untold(module: str, tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text(f"game: ipd\nreward: '{module}:generous'\n")
    with pytest.raises(UserError, match=r"one.yaml names the reward 'own_reward:generous', .*--trust"):
        config.load(str(tmp_path / "one.yaml"))
    assert module not in sys.modules


def test_the_rewards_of_adversaries() -> None:
    """Of three players who get 10, 20 and 40: minus the mean of the other two, and what is left of one's own."""
    (episode,) = detente.play("ipd", ["always_defect", "always_cooperate"], overrides=["game.rounds=1"])
    assert shaped([episode], "harm")[0].rounds[0].rewards == (0, -5)
    assert shaped([episode], "margin")[0].rounds[0].rewards == (5, -5)
    three = replace(
        episode, policies=(*episode.policies, episode.policies[0]), rounds=(replace(episode.rounds[0], rewards=(10, 20, 40)),)
    )
    assert harm(three) == [[-30, -25, -15]]
    assert margin(three) == [[-20, -5, 25]]


def test_social_preferences_by_hand() -> None:
    """Of three players who get 10, 20 and 40: the others' means are 30, 25 and 15, they have 20, 10, 0 more and 0, 5, 25 less."""
    (episode,) = detente.play("ipd", ["always_defect", "always_cooperate"], overrides=["game.rounds=1"])
    three = replace(
        episode, policies=(*episode.policies, episode.policies[0]), rounds=(replace(episode.rounds[0], rewards=(10, 20, 40)),)
    )
    assert social(three, SocialOptions()) == [[10, 20, 40]]
    assert social(three, SocialOptions(altruism=1)) == [[40, 45, 55]]
    assert social(three, SocialOptions(envy=1)) == [[-10, 10, 40]]
    assert social(three, SocialOptions(guilt=1)) == [[10, 15, 15]]
    weights = SocialOptions(altruism=0.5, envy=2, guilt=0.2)
    assert social(three, weights) == [[10 + 15 - 40, 20 + 12.5 - 20 - 1, 40 + 7.5 - 5]]
    assert shaped([three], "social", weights)[0].rounds[0].rewards == (-15, 11.5, 42.5)


def test_an_altruist_of_two_is_the_cooperative_learner() -> None:
    options = CreditOptions(gamma=0.9)
    played = detente.play("ipd", ["random", "random"], episodes=8)

    def group(episodes: Sequence[Episode]) -> Group:
        rewards = torch.tensor([[r.rewards for r in e.rounds] for e in episodes], dtype=torch.float64)
        return Group(rewards[None], seat=0)

    altruistic = ALGORITHMS["reinforce"](group(shaped(played, "social", SocialOptions(altruism=1))), options)
    together = ALGORITHMS["sum_of_rewards"](group(played), options)
    torch.testing.assert_close(altruistic, together, rtol=0, atol=1e-12)
    assert together.abs().max() > 1


@pytest.mark.parametrize("name", ["harm", "social"])
def test_one_player_harms_nobody(name: str) -> None:
    with pytest.raises(UserError, match=f"^The reward '{name}' is about the points of other players, and the game has one player"):
        named(name, players=1)


def test_an_adversary_trains_on_its_aim(tiny_model: str, tmp_path: Path) -> None:
    options = f"game.rounds=2 model={tiny_model} device=cpu iterations=1 episodes=4 group_size=2 lora.rank=2 evaluation.episodes=0"
    changes = [*options.split(), "algorithm=reinforce", "seats=[main,random]"]
    aims: dict[str, Callable[[float, float], float]] = {
        "harm": lambda own, other: -other,
        "margin": lambda own, other: own - other,
        "social social.altruism=0.25": lambda own, other: own + other / 4,
    }
    for aim, of in aims.items():
        run = detente.train(config.load("ipd", [*changes, *f"reward={aim}".split()]), tmp_path / aim)
        (row,) = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
        episodes = read_episodes(run / "episodes" / "000001.jsonl.gz")
        aimed = [of(episode.mean_reward(0), episode.mean_reward(1)) for episode in episodes]
        assert row["shaped_reward/main"] == pytest.approx(sum(aimed) / len(aimed))
