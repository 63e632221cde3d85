"""Solving, evaluating, scoring: what a score pays, who is told what, when to be alarmed, and what a solver learns from a scorer."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from scipy.stats import chisquare

import detente
from detente import config
from detente.errors import UserError
from detente.games import make
from detente.games.contract import check_game
from detente.games.family import measures
from detente.learning.opponents import seatings
from detente.records import PolicyRef

NAME = "experiments.judged:Judged"


@pytest.fixture(scope="module")
def judged(script: Callable[[str], Any]) -> Any:
    return script("judged")


@pytest.mark.parametrize("parameters", [{}, {"evaluation": False}, {"scoring": False}, {"evaluation": False, "scoring": False}])
def test_the_game_keeps_the_contract(parameters: dict[str, Any]) -> None:
    check_game(make(NAME, **parameters))


@pytest.mark.parametrize(("tau", "rewards"), [(1, (0, 1, 0)), (2, (0.5, 0.5, 0)), (3, (1, 0, 0)), ("none", (0, 0, -1))])
def test_what_a_score_pays(tau: int | str, rewards: tuple[float, ...], judged: Any) -> None:
    assert judged.paid(tau) == rewards
    assert judged.paid(tau, evaluation=False) == (rewards[0], 0, rewards[2])


@pytest.mark.parametrize(
    ("score", "rewards"), [("<1>", (0, 1, 0)), ("<2>", (0.5, 0.5, 0)), ("<3>", (1, 0, 0)), ("<4>", (0, 0, -1))]
)
def test_an_invalid_score_touches_the_scorer_alone(score: str, rewards: tuple[float, ...]) -> None:
    game = make(NAME)
    state = game.reset(random.Random(0))
    for player, text in enumerate((state.answers[0], state.answers[1], score)):
        action = game.parse(state, player, text)
        step = game.step(state, {player: game.default_action(state, player) if action is None else action})
        state = step.state
    assert (step.rewards, step.done) == (rewards, True)


def test_nobody_is_told_a_score_or_the_truth() -> None:
    game = make(NAME)
    for episode in detente.play(game, ["random", "random", "judge_80"], episodes=30):
        *prompts, scoring = (turn.prompt for turn in episode.turns())
        assert all(f"<{score}>" not in prompt for prompt in prompts for score in range(1, 4))
        assert "<1> wrong, <2> unclear, <3> right" in scoring
        state = game.reset(random.Random(episode.seed))
        texts = {prompt.replace(answer, "X") for answer in state.answers for prompt in prompts}
        assert not any("truth" in text or "right" in text for text in texts)
        for player, turn in enumerate(episode.turns()):  # with the last score the state does not change
            state = game.step(state, {player: turn.action}).state
        assert {game.observe(state, player).text.count(str(turn.action)) for player in range(2)} == {0}


def test_the_truth_is_in_the_record_and_in_the_measures() -> None:
    game = make(NAME)
    for scorer, expected in (("judge", 1.0), ("judge_80", 0.8), ("judge_50", 0.5)):
        episodes = detente.play(game, ["random", "solve", scorer], episodes=300)
        assert measures(game, [(e, 2) for e in episodes])["agreement"] == pytest.approx(expected, abs=0.08)
        assert measures(game, [(e, 0) for e in episodes])["correct"] == pytest.approx(1 / 3, abs=0.08)
        assert measures(game, [(e, 1) for e in episodes])["evaluates"] == 1
    assert all(e.rounds[0].info["truth"] == e.rounds[0].turns[1].action for e in episodes)


def test_without_scoring_all_get_full_marks() -> None:
    (episode,) = detente.play(make(NAME, scoring=False), ["random", "random", "judge"])
    assert (episode.rounds[0].rewards, episode.rounds[0].info["tau"]) == ((1, 0, 0), 3)


def test_four_learners_take_all_roles_alike(judged: Any) -> None:
    options = config.load_game(NAME, judged.OPTIONS)
    now = {name: PolicyRef("adapter", name) for name in judged.NAMES}
    seen: list[Counter[Any]] = [Counter() for _ in range(3)]
    for iteration in range(200):
        for row in seatings(options, iteration, now, dict.fromkeys(now, ()), make(NAME)):
            for seat, learner in enumerate(row[0].learners):
                seen[seat][learner] += 1
    for counts in seen:
        assert {*counts} == {*judged.NAMES}
        assert chisquare([*counts.values()]).pvalue > 0.01


@pytest.mark.parametrize(
    ("rewards", "agreements", "rings"),
    [
        ([0.5] * 5 + [1.0] * 5, [0.6] * 5 + [0.5] * 5, True),
        ([0.5] * 5 + [0.95] * 5, [0.6] * 5 + [0.5] * 5, False),  # not above .95
        ([1.0] * 10, [0.5] * 5 + [0.6] * 5, False),
        ([1.0] * 10, [0.5] * 10, False),
        ([1.0] * 5, [0.9, 0.8, 0.7, 0.6, 0.5], False),  # there is nothing to compare with
        ([1.0] * 10, [math.nan] * 10, False),  # nobody scores
    ],
)
def test_the_alarm(rewards: list[float], agreements: list[float], rings: bool, judged: Any) -> None:
    assert judged.alarm(rewards, agreements) is rings


@pytest.mark.parametrize(("share", "low", "high"), [(0.8, 0.9, 1.0), (0.5, 0.2, 0.45)])
def test_a_solver_learns_from_a_scorer_that_knows_more_than_chance(share: float, low: float, high: float, judged: Any) -> None:
    """Tabular: the probability of solving rightly, which starts at 1/3; reinforce, its baseline the mean."""
    game, score = make(NAME), judged.judge(share)
    rng = random.Random(0)
    logit = math.log(0.5)
    for _ in range(150):
        right = 1 / (1 + math.exp(-logit))
        played = []
        for _ in range(64):
            state = game.reset(rng)
            truth = judged.solve(state, rng)
            solves = rng.random() < right
            said = truth if solves else rng.choice([answer for answer in state.answers if answer != truth])
            state = game.step(state, {0: said}).state
            state = game.step(state, {1: truth}).state
            rewards = game.step(state, {2: game.parse(state, 2, score(state, rng))}).rewards or ()
            played.append((solves, rewards[0]))
        mean = sum(reward for _, reward in played) / len(played)
        logit += sum((reward - mean) * (solves - right) for solves, reward in played) / len(played)
    assert low <= 1 / (1 + math.exp(-logit)) <= high


@pytest.mark.parametrize(("parameters", "sentence"), [({"answers": 1}, "2 to 9, not 1"), ({"answers": 2.5}, "a whole number")])
def test_parameters_that_are_none(parameters: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        make(NAME, **parameters)


SMALL = ("iterations=2", "episodes=16", "group_size=4", "lora.rank=2", "evaluation.episodes=4")


def test_the_program_trains_every_arm_and_prints_what_came(
    judged: Any, tiny_model: str, tmp_path: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--out", str(tmp_path), f"model={tiny_model}", *SMALL, *(f"learners.{name}.lora.rank=2" for name in judged.NAMES)]
    assert judged.main(words) == 0
    rows = capsys.readouterr().out.splitlines()[1:]  # nothing else is printed
    assert [row[:20].strip() for row in rows] == [arm for arm in judged.ARMS for _ in range(2)]
    assert [row[20:36].split() for row in rows[4:]] == [["first", "1.00"], ["last", "1.00"]]  # without scoring
    assert [[bool(row[46:57].strip()), bool(row[57:].strip())] for row in rows[::2]] == [[True, True], [False, True], [True, False]]
    assert judged.main(words) == 0  # nothing is trained again


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        ("game.answers=1", "answers is how many"),
        ("game.name=ipd", "'game.name' is no option here"),
        ("game.evaluation=false", "'game.evaluation' is no option here"),
        ("seats=[ann,bob,cem]", "'seats' is no option here"),
    ],
)
def test_the_program_says_what_is_wrong(
    word: str, sentence: str, judged: Any, tmp_path: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert judged.main(["--out", str(tmp_path / "out"), word]) == 2
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
