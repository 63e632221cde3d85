"""Our games as PettingZoo environments, by PettingZoo's own tests and beside our own play."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("pettingzoo", reason="pettingzoo is not installed: pip install 'detente[pettingzoo]'")

import numpy as np
from pettingzoo.test import api_test, parallel_api_test, parallel_seed_test, seed_test
from pettingzoo.utils import parallel_to_aec

from detente import play
from detente.environments.pettingzoo import GameEnv, parallel_env
from detente.errors import UserError
from detente.games import make
from detente.games.base import Observation, Step
from detente.players.scripted import scripted
from detente.seeding import derive
from detente.together import run

GAMES = [
    ("ipd", {"rounds": 4}),
    ("mediation", {"of": "ipd"}),  # questions with more and with fewer answers
    ("reputation", {"rounds": 2}),  # four players
    ("trust_and_split", {}),  # one talks, one waits
    ("donor", {"players": 4, "rounds": 2}),
]
warned = pytest.mark.filterwarnings("ignore")  # observations and answers are texts, which PettingZoo's tests remark on


@warned
@pytest.mark.parametrize(("name", "parameters"), GAMES)
def test_pettingzoo_accepts_it(name: str, parameters: dict[str, Any]) -> None:
    parallel_api_test(parallel_env(name, **parameters), num_cycles=8)
    api_test(parallel_to_aec(parallel_env(name, **parameters)), num_cycles=8)
    parallel_seed_test(lambda: parallel_env(name, **parameters), num_cycles=8)
    seed_test(lambda: parallel_to_aec(parallel_env(name, **parameters)), num_cycles=8)


def played(env: GameEnv, names: list[str], seed: int) -> tuple[list[float], list[list[str]]]:
    """The points of scripts in an episode of the environment, and what each was told when it was asked."""
    players = [scripted(name, derive(seed, "seat", seat), env.game) for seat, name in enumerate(names)]
    observations, infos = env.reset(seed=seed)
    points, told = [0.0] * len(names), [[] for _ in names]  # type: ignore[var-annotated]
    while env.agents:
        actions: dict[str, Any] = {}
        for seat, agent in enumerate(env.agents):
            if infos[agent]["asked"]:
                told[seat].append(observations[agent]["text"])
                answer = run(players[seat].act(env._seen[seat])).text  # scripts read the view, which agents do not get
                actions[agent] = answer if env.most is None else infos[agent]["choices"].index(answer)
        observations, rewards, _, _, infos = env.step(actions)
        points = [sum(pair) for pair in zip(points, rewards.values(), strict=True)]
        assert all(infos[agent]["valid"] for agent in actions)
    return points, told


@pytest.mark.parametrize(
    ("name", "names"),
    [
        ("ipd", ["tit_for_tat", "random"]),
        ("mediation", ["random", "random"]),
        ("trust_and_split", ["liar", "fair_half"]),
        ("public_goods", ["conditional"] * 7),
    ],
)
def test_same_seeds_same_points_as_our_own_play(name: str, names: list[str]) -> None:
    (episode,) = play(make(name), names, seed=5)
    points, told = played(parallel_env(name), names, seed=5)
    assert points == pytest.approx([sum(episode.rewards(seat)) for seat in range(len(names))])
    assert told == [[turn.prompt for turn in episode.turns(seat)] for seat in range(len(names))]


def test_answers_are_places_where_all_are_listed_and_texts_elsewhere() -> None:
    assert parallel_env("ipd").action_space("player_0").n == 2
    assert parallel_env("contract").action_space("player_0").n == 9
    env = parallel_env("ipd", answers="text", rounds=1)
    _, infos = env.reset(seed=0)
    first, second = infos["player_0"]["choices"]
    _, rewards, ended, _, infos = env.step({"player_0": second, "player_1": first})
    assert rewards == {"player_0": 5.0, "player_1": 0.0} or rewards == {"player_0": 0.0, "player_1": 5.0}
    assert ended == {"player_0": True, "player_1": True}
    assert parallel_env("trust_and_split").most is None


def test_the_mask_has_the_answers_of_this_question_and_the_first_place_for_who_waits() -> None:
    env = parallel_env("reputation")
    observations, infos = env.reset(seed=1)
    for agent in env.agents:
        assert observations[agent]["action_mask"].tolist() == infos[agent]["action_mask"].tolist()
        assert infos[agent]["action_mask"].sum() == max(1, len(infos[agent]["choices"]))
        assert env.observation_space(agent).contains(observations[agent])


def test_an_answer_that_the_question_does_not_have_counts_as_invalid_and_the_default_is_played() -> None:
    env = parallel_env(Quiz())
    _, infos = env.reset(seed=0)
    assert [infos[agent]["action_mask"].sum() for agent in env.agents] == [3, 1]
    env.step({"player_0": 2})
    _, _, _, _, infos = env.step({"player_0": np.int64(0), "player_1": 2})
    assert (infos["player_0"]["valid"], infos["player_1"]["valid"]) == (None, False)


def test_episodes_without_a_seed_follow_the_last_one() -> None:
    env = parallel_env("split_no_comm")
    env.reset(seed=3)
    following = [env.reset()[0]["player_0"]["text"] for _ in range(2)]
    env.reset(seed=3)
    assert [env.reset()[0]["player_0"]["text"] for _ in range(2)] == following
    assert following[0] != following[1]


@pytest.mark.parametrize(
    ("arguments", "right"),
    [
        ({"game": "idp"}, "did you mean 'ipd'"),
        ({"game": "trust_and_split", "answers": "index"}, "use answers='text'"),
        ({"game": "ipd", "answers": "number"}, "'index' or 'text', not 'number'"),
        ({"game": "ipd", "render_mode": "human"}, "'ansi'"),
        ({"game": make("ipd"), "rounds": 3}, "takes no parameters: rounds"),
        ({"game": "ipd", "rounds": "abc"}, "whole number"),
    ],
)
def test_what_makes_no_environment_is_a_sentence(arguments: dict[str, Any], right: str) -> None:
    with pytest.raises(UserError, match=right):
        parallel_env(**arguments)


def test_what_makes_no_step_is_a_sentence() -> None:
    env = parallel_env("ipd", rounds=1)
    with pytest.raises(UserError, match="call reset first"):
        env.step({})
    env.reset(seed=0)
    with pytest.raises(UserError, match="none of player_1"):
        env.step({"player_0": 0})
    with pytest.raises(UserError, match="a whole number below 2"):
        env.step({"player_0": 0, "player_1": "<A>"})
    env.step({"player_0": 0, "player_1": 7})
    with pytest.raises(UserError, match="call reset first"):
        env.step({"player_0": 0, "player_1": 0})


class Quiz:
    """Player 0 picks one of three, then player 1 one of two."""

    name, num_players, reward_bounds = "quiz", 2, (0.0, 1.0)

    def parameters(self) -> dict[str, Any]:
        return {"name": self.name}

    def reset(self, rng: Any) -> int:
        return 0

    def to_act(self, state: int) -> tuple[int, ...]:
        return (state,)

    def observe(self, state: int, player: int) -> Observation:
        choices = ("a", "b", "c") if state == 0 else ("a", "b")
        return Observation(f"Pick one of {choices}.", None, "|".join(choices), choices)

    def parse(self, state: int, player: int, text: str) -> str | None:
        return text if text in ("a", "b", "c") else None

    def default_action(self, state: int, player: int) -> str:
        return "a"

    def step(self, state: int, actions: Any) -> Step:
        return Step(state + 1, (1.0, 0.0) if state else None, done=state == 1)
