"""Environments of other libraries as games: they keep the contract, and what is wrong with one is a sentence."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

pytest.importorskip("pettingzoo", reason="pettingzoo is not installed: pip install 'detente[pettingzoo]'")

from gymnasium.spaces import Discrete
from pettingzoo.utils import parallel_to_aec

from detente import play
from detente.environments import replayed
from detente.environments.pettingzoo import GameEnv, parallel_env
from detente.environments.pettingzoo_game import PettingZooGame
from detente.environments.textarena import TextArena
from detente.errors import UserError
from detente.games import make
from detente.games.contract import check_game
from detente.matches import Counted, Scripts, in_turn, play_sync
from detente.records import PolicyRef

LABELS = ("<A>", "<B>")


def iterated(rounds: int) -> GameEnv:
    return parallel_env("ipd", rounds=rounds)


def mediated() -> Any:
    return parallel_to_aec(parallel_env("mediation", of="ipd"))


def there_and_back(rounds: int = 3) -> PettingZooGame:
    """Our own game as an environment, and that as a game."""
    return PettingZooGame("stand_in:there_and_back", iterated, told, LABELS, (0, 5), rounds=rounds, options={"rounds": rounds})


def in_turns() -> PettingZooGame:
    return PettingZooGame("stand_in:in_turns", mediated, told, tuple("abcd"), (-99, 99))


def told(agent: str, observation: Any, info: Any) -> str:
    text: str = observation["text"]
    return text


@pytest.fixture(autouse=True)
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A module of somebody's with these games, as ``make`` finds them by name."""
    module: Any = ModuleType("stand_in")
    module.there_and_back, module.in_turns = there_and_back, in_turns
    monkeypatch.setitem(sys.modules, "stand_in", module)
    yield
    replayed._standing.clear()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["stand_in:there_and_back", "stand_in:in_turns"])
def test_a_pettingzoo_environment_keeps_the_contract(name: str) -> None:
    check_game(make(name), 3)


def test_a_game_there_and_back_pays_the_same() -> None:
    game = there_and_back()
    scripts = [PolicyRef("script", "random")] * 2
    for episode in play_sync(Scripts(game), game, in_turn(scripts, 3), stream=Counted(4)):
        actions = [["C" if turn.action == "<A>" else "D" for turn in episode.turns(player)] for player in (0, 1)]
        table = {("C", "C"): (3, 3), ("C", "D"): (0, 5), ("D", "C"): (5, 0), ("D", "D"): (1, 1)}
        assert [played.rewards for played in episode.rounds] == [table[pair] for pair in zip(*actions, strict=True)]


def test_a_state_may_be_left_and_taken_up_again_and_no_environment_need_stand_there() -> None:
    game = there_and_back()
    start = game.reset(random.Random(1))
    one, other = game.step(start, {0: "<A>", 1: "<A>"}), game.step(start, {0: "<B>", 1: "<A>"})
    assert (one.rewards, other.rewards) == ((3.0, 3.0), (5.0, 0.0))
    further = game.step(one.state, {0: "<A>", 1: "<B>"})
    replayed._standing.clear()
    assert game.step(one.state, {0: "<A>", 1: "<B>"}) == further


def test_the_environments_that_stand_somewhere_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replayed, "KEPT", 3)
    game = there_and_back()
    for seed in range(9):
        game.reset(random.Random(seed))
    assert len(replayed._standing) == 3


def broken(**changes: Any) -> PettingZooGame:
    options = {"environment": lambda: parallel_env("ipd", rounds=2), "render": told, "answers": LABELS, "rounds": 2}
    return PettingZooGame(name="stand_in:broken", reward_bounds=(0, 5), **{**options, **changes})


@pytest.mark.parametrize(
    ("changes", "right"),
    [
        ({"answers": ("<A>",)}, "has 1 answer, and should have one for each action"),
        ({"answers": ("<A>", "<A>")}, "one for each action"),
        ({"rounds": 3}, "ended after 2 steps, before its 3 rounds"),
        ({"render": lambda agent, observation, info: 3}, "returned 3; it should be a text"),
        ({"render": lambda agent, observation, info: observation["image"]}, "raised KeyError 'image' in render"),
        ({"environment": lambda: 1 / 0}, "raised ZeroDivisionError"),
    ],
)
def test_what_is_wrong_with_an_environment_is_a_sentence(changes: dict[str, Any], right: str) -> None:
    with pytest.raises(UserError, match=right):
        play(broken(**changes), ["random", "random"])


class OtherSpace(GameEnv):
    """Its actions are not as many as its answers."""

    def action_space(self, agent: str) -> Any:
        return Discrete(3)


class Breaks(GameEnv):
    def step(self, actions: Any) -> Any:
        raise RuntimeError("out of order")


def test_what_is_wrong_with_its_agents_spaces_and_steps_is_a_sentence() -> None:
    with pytest.raises(UserError, match="has 2 agents, and the game 3 players"):
        broken(num_players=3).reset(random.Random(0))
    with pytest.raises(UserError, match=r"the actions are Discrete\(3\)"):
        broken(environment=lambda: OtherSpace(make("ipd"), 2)).reset(random.Random(0))
    with pytest.raises(UserError, match="raised RuntimeError out of order in step"):
        play(broken(environment=lambda: Breaks(make("ipd"), 2)), ["random", "random"])


# ---- TextArena

CHOICES = ("[Cooperate]", "[Defect]")


def test_a_game_of_textarena_keeps_the_contract_and_leaves_random_numbers_alone() -> None:
    pytest.importorskip("textarena", reason="textarena is not installed: pip install 'detente[textarena]'")
    game = make("detente.environments.textarena:TextArena", choices=list(CHOICES), options={"num_rounds": 1})
    random.seed(5)
    before = random.getstate()
    check_game(game, 2)
    assert random.getstate() == before


def test_a_game_of_textarena_that_draws_is_the_same_for_the_same_seed() -> None:
    pytest.importorskip("textarena", reason="textarena is not installed: pip install 'detente[textarena]'")
    game = TextArena(environment="KuhnPoker-v0", choices=("[check]", "[bet]", "[call]", "[fold]"), options={"max_rounds": 2})
    first, again = (play(game, ["random", "random"], seed=1, episodes=5) for _ in range(2))
    assert first == again
    assert len({episode.rounds[0].turns[0].prompt for episode in first}) > 1
    assert set(first[0].rewards(0)) <= {-1.0, 0.0, 1.0}


@pytest.mark.parametrize(
    ("parameters", "right"),
    [
        ({"environment": "KuhnPokr-v0"}, "did you mean 'KuhnPoker-v0'"),
        ({"options": {"rounds": 2}}, "does not take the options"),
        ({"pattern": "("}, "no regular expression"),
        ({"choices": "abc"}, "a list of texts"),
    ],
)
def test_what_makes_no_game_of_textarena_is_a_sentence(parameters: dict[str, Any], right: str) -> None:
    pytest.importorskip("textarena", reason="textarena is not installed: pip install 'detente[textarena]'")
    with pytest.raises(UserError, match=right):
        make("detente.environments.textarena:TextArena", **parameters).reset(random.Random(0))
