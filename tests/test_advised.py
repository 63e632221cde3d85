"""Asking for help at a price: the game around a game, what the tabular learners come to, and the program."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import detente
from detente.errors import UserError
from detente.games import make
from detente.games.base import Observation
from detente.games.contract import check_game
from detente.games.family import measures

NAME = "experiments.advised:advised"


@pytest.fixture(scope="module")
def asking(script: Callable[[str], Any]) -> Any:
    return script("asking")


def advised(**parameters: Any) -> Any:
    return make(NAME, **parameters)


def any_answer(observation: Observation, rng: random.Random) -> str:
    """A choice, or some whole number within bounds that the question has."""
    options = [*observation.choices] or [answer for answer in map(str, range(11)) if observation.accepts(answer)]
    options += ["Return 1"] if not options else []
    return rng.choice(options)


@pytest.mark.parametrize(
    "parameters",
    [
        {"price": 0.3},
        {"of": {"name": "ipd", "rounds": 3, "noise": 0.2}, "helper": "random", "seat": 1},
        {"of": "ipd", "rate": 0.5, "price": 2.0},
        {"of": {"name": "repetition", "of": {"name": "ipd", "rounds": 1}}},
        {
            "of": {"name": "public_goods", "players": 3, "institutions": False, "levels": [0, 20]},
            "helper": "giver",
            "seat": 2,
            "ask": "<C>",
        },
    ],
)
def test_the_game_keeps_the_contract(parameters: dict[str, Any]) -> None:
    check_game(advised(**parameters), episodes=5)


def played(price: float = 0.3, rate: float | None = None, **parameters: Any) -> Any:
    """Ten rounds of somebody who defects and has a helper, with tit for tat."""
    game = advised(price=price, rate=rate, **parameters)
    return game, detente.play(game, ["always_defect", "tit_for_tat"], episodes=20)


def test_who_always_asks_plays_as_the_helper_and_pays_for_it() -> None:
    game, episodes = played(rate=1.0)
    alone = detente.play("ipd", ["tit_for_tat", "tit_for_tat"])[0]
    for episode in episodes:
        assert episode.rewards(0) == pytest.approx([points - 0.3 for points in alone.rewards(0)])
        assert episode.rewards(1) == alone.rewards(1)
    assert measures(game, [(episode, 0) for episode in episodes])["cooperation_rate"] == 1


def test_who_never_asks_plays_the_game_inside() -> None:
    _, (episode, *_) = played(rate=0.0)
    (inside,) = detente.play("ipd", ["always_defect", "tit_for_tat"])
    assert [r.rewards for r in episode.rounds] == [r.rewards for r in inside.rounds]


def test_chance_asks_as_often_as_the_rate_says() -> None:
    game, episodes = played(rate=0.25)
    measured = measures(game, [(episode, 0) for episode in episodes])
    assert measured["asked"] == pytest.approx(0.25, abs=0.1)
    assert measures(game, [(episode, 1) for episode in episodes])["asked"] is None


def test_an_answer_of_its_own_word_asks() -> None:
    game = advised(price=0.5, ask="<C>")
    state = game.reset(random.Random(0))
    first, second = game.observe(state, 0), game.observe(state, 1)
    assert first.choices == (*second.choices, "<C>")
    assert "<C>" in first.text
    assert "<C>" not in second.text
    assert (game.parse(state, 0, "<C>"), game.parse(state, 1, "<C>")) == ("<C>", None)
    step = game.step(state, {0: "<C>", 1: "D"})
    assert step.rewards == (-0.5, 5)
    assert step.info == {"played": ["C", "D"], "asks": 1}
    assert game.step(state, {0: "C", 1: "D"}).rewards == (0, 5)


def test_of_several_decisions_each_is_the_helpers() -> None:
    game = advised(of={"name": "public_goods", "players": 3}, helper="giver", seat=1, price=1.0, rate=1.0)
    (episode,) = detente.play(game, ["free_rider"] * 3)
    assert {*episode.rounds[0].info["played"]} == {"institution", "contribution"}  # alone where sanctions are
    measured = [measures(game, [(episode, player)]) for player in range(3)]
    assert [scores["contribution"] for scores in measured] == [0, 20, 0]
    assert [scores["asked"] for scores in measured] == [None, 1, None]


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ({"helper": "tit_for_tit"}, "did you mean 'tit_for_tat'?"),
        ({"helper": "giver"}, "The strategy 'giver' cannot play ipd"),
        ({"seat": 2}, "seat is one of ipd that the helper 'tit_for_tat' can play, counted from 0, not 2"),
        ({"price": -1.0}, "price is 0 or more"),
        ({"price": float("nan")}, "price is 0 or more"),
        ({"rate": 1.5}, "rate null or from 0 to 1"),
        ({"ask": "<ask me>"}, "ask a word such as <ask>"),
        ({"ask": "<B>"}, "'<B>' is an answer of ipd itself; name another word as ask."),
        ({"of": "ipdd"}, "did you mean 'ipd'?"),
        ({"of": 3}, "does not take these parameters"),
        ({"hlper": "random"}, "There is no option 'game.hlper'"),
    ],
)
def test_what_cannot_be_advised_is_a_sentence(parameters: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError) as error:
        advised(**parameters)
    assert sentence in str(error.value)


def test_preset_files_must_be_trusted(tmp_path: Any) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(f"extends: ipd\ngame: {{name: '{NAME}', of: {{name: ipd}}}}\n")
    with pytest.raises(UserError, match="add --trust"):
        detente.load(str(file))


NEVER, ALWAYS = np.zeros(3), np.ones(3)


def test_the_tasks_are_as_hard_as_they_are(asking: Any) -> None:
    assert asking.value(NEVER, 0.2) == pytest.approx(0.6**3)
    assert [asking.value(ALWAYS, price) for price in (0.08, 0.2)] == pytest.approx([0.617, 0.257], abs=1e-3)
    assert [asking.value(np.full(3, share), price) for share, price in ((0.8, 0.08), (0.5, 0.2))] == pytest.approx(
        [0.49, 0.167], abs=2e-3
    )
    *_, rewards = asking.played(np.full(3, 0.5), 0.2, 100_000, np.random.default_rng(0))
    assert rewards.mean() == pytest.approx(asking.value(np.full(3, 0.5), 0.2), abs=0.01)


def test_reinforce_learns_when_asking_is_worth_its_price(asking: Any) -> None:
    learned = {price: asking.online(price, iterations=300) for price in (0.08, 0.2, 0.6)}
    for price in (0.08, 0.2):
        others = (NEVER, ALWAYS, np.full(3, asking.rate(learned[price])))
        assert asking.value(learned[price], price) > max(asking.value(other, price) for other in others)
    rates = [asking.rate(asks) for asks in learned.values()]
    assert rates == sorted(rates, reverse=True)
    assert asking.value(learned[0.08], 0.08) == pytest.approx(0.628, abs=0.02)
    assert asking.value(learned[0.2], 0.2) >= 0.31


def test_the_offline_form_learns_from_a_log_of_random_asking(asking: Any) -> None:
    for price, asked in ((0.08, (False, True, True)), (0.2, (False, False, True))):
        kinds, asks, rewards = asking.played(np.full(3, 0.5), price, 20_000, np.random.default_rng(1))
        policy = asking.offline([*zip(kinds.flat, asks.flat, np.repeat(rewards, 3), strict=True)])
        assert [policy[kind] > 0.95 for kind in range(3)] == [*asked]
        assert [policy[kind] < 0.05 for kind in range(3)] == [not ask for ask in asked]


def test_the_first_steps_of_the_offline_form(asking: Any) -> None:
    """By hand: A = (1 - 0) / 2, both weights 1 at pi = .5, so the logit moves by A; weights are held within .7 and 1.3."""
    log = [("s", True, 1.0), ("s", False, 0.0), ("t", True, 1.0)]
    assert asking.offline(log, steps=1) == pytest.approx({"s": 1 / (1 + np.exp(-0.5)), "t": 0.5})
    p = 1 / (1 + np.exp(-0.5))
    second = 0.5 + 0.5 * (2 * p * (1 - p) + 2 * (1 - p) * p)
    assert asking.offline(log, steps=2)["s"] == pytest.approx(1 / (1 + np.exp(-second)))


def test_the_program_prints_its_table(asking: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert asking.main(["tasks", "--prices", "0.2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line[8:26].strip() for line in lines[1:]] == ["learned", "learned offline", "never", "always", "random, as often"]


def test_the_program_trains_an_agent_for_each_price(
    asking: Any, tiny_model: str, tmp_path: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    small = [
        f"model={tiny_model}",
        "iterations=1",
        "episodes=4",
        "group_size=4",
        "game.rounds=3",
        "lora.rank=2",
        "evaluation.episodes=0",
    ]
    assert asking.main(["ipd", "--prices", "0,2", "--out", str(tmp_path), *small]) == 0
    lines = capsys.readouterr().out.splitlines()
    rows = [line for line in lines if "always" in line or "never" in line]
    assert [row.split()[-1] for row in rows] == ["0.00", "1.00"] * 2
    assert sum("offline, P(ask | last moves): " in line for line in lines) == 2


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["ipd", "--prices=-1"], "--prices are numbers of 0 or more, such as 0.06,0.2, not '-1'."),
        (["ipd", "--prices=a"], "not 'a'."),
        (["ipd", "--prices=1,inf"], "not '1,inf'."),
        (["split_no_comm"], "The strategy 'tit_for_tat' cannot play split_no_comm"),
        (["ipd", "game.name=investor"], "'game.name' is no option here"),
        (["ipd", "game=investor"], "'game.name' is no option here"),
        (["ipd", "game.helper=random"], "'game.helper' is no option here"),
        (["ipd", "seats=[main,main]"], "'seats' is no option here"),
        (["ipdd"], "ipdd"),
        (["ipd", "--helper", "tit_for_tit"], "did you mean 'tit_for_tat'?"),
        (["ipd", "iterations=0"], "iterations"),
    ],
)
def test_the_program_says_what_is_wrong(
    words: list[str], sentence: str, asking: Any, tmp_path: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert asking.main([*words, "--out", str(tmp_path / "out")]) == 2
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "words", [["iterations=3"], ["--helper", "random"], ["--partner", "random"], ["--out", "out"], ["--prices=a"], ["--prices=-1"]]
)
def test_tasks_take_prices_alone(words: list[str], asking: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert asking.main(["tasks", *words]) == 2
    said = capsys.readouterr()
    assert "--prices" in said.err
    assert said.out == ""


def test_the_preset_says_which_game_is_inside(
    asking: Any, tiny_model: str, tmp_path: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    small = [f"model={tiny_model}", "iterations=1", "episodes=2", "group_size=2", "evaluation.episodes=0", "game.rounds=2"]
    names = ["--helper", "random", "--partner", "random", "--prices=0.5", "--out", str(tmp_path)]
    assert asking.main(["investor", *names, "game.ask=<help>", *small]) == 0
    game = detente.load(str(tmp_path / "investor-price0.5"), trust=True).game
    assert game["of"] == {"name": "investor", "rounds": 2}
    assert (game["ask"], game["price"], game["helper"]) == ("<help>", 0.5, "random")
    assert "nan" not in capsys.readouterr().out
