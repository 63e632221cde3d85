"""Goals in a hidden circle: what they pay, what can be known of them at best, and a tiny policy that learns to follow an expert."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from functools import cache
from itertools import pairwise, permutations
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pytest

from detente.games import make
from detente.games.contract import check_game

NAME = "experiments.goal_cycle:GoalCycle"


@pytest.fixture(scope="module")
def recipe(script: Callable[[str], Any]) -> Any:
    return script("goal_cycle")


def test_what_goals_pay(recipe: Any) -> None:
    """The circle is 0 2 1 3: a start anywhere, a wait, a mistake that leaves one where one was, and twice the next."""
    assert recipe.visits((0, 2, 1, 3), [1, 1, 0, 3, 0], 1.5) == ((1, 1.0), (1, 0.0), (0, -1.5), (3, 1.0), (0, 1.0))
    assert recipe.prestige([1.0, 1.0, 0.0]) == pytest.approx(0.95 * 1.95)
    assert recipe.prestige([1.0, 1.0, -1.5, 1.0]) == 1
    game = make(NAME, visits=3)
    assert game.reward_bounds == (-1.5, 1.0)
    state = recipe.State((0, 1, 2, 3), (3, 2, 1, 0))
    for learner, companion in ((2, 1), (3, 0)):
        step = game.step(state, {0: learner, 1: companion})
        state = step.state
    assert step.rewards == (1.0, -1.5)
    told = game.observe(state, 0)
    assert told.text == "You chose <D>: 1 points. The other chose <A>: -1.5 points. Its prestige: 0.0."
    assert (told.view.prestige, told.view.circle) == (0, ())
    assert game.observe(state, 1).view.circle == (3, 2, 1, 0)
    assert make(NAME, prestige="hidden").observe(state, 0).text.endswith("-1.5 points.")
    assert make(NAME, companion="hidden").observe(state, 0).text == "You chose <D>: 1 points."
    assert game.step(state, {0: 0, 1: 0}).done


@pytest.mark.parametrize("goals", [3, 4, 6])
def test_the_rules_hold(goals: int) -> None:
    check_game(make(NAME, goals=goals, visits=4))


def test_a_share_of_the_companions_is_right(recipe: Any) -> None:
    for share, low, high in ((1.0, 1, 1), (0.0, 0, 0), (0.25, 0.2, 0.3)):
        game = make(NAME, share=share)
        states = [game.reset(random.Random(seed)) for seed in range(1000)]
        assert low <= fmean(state.circle == state.believed for state in states) <= high
    assert recipe.expert(recipe.View(((2, 1.0),), (), 0.0, (0, 2, 1)), random.Random(0)) == "<B>"


# ---- the best that anybody can do


def best(recipe: Any, goals: int, penalty: float, *, expert: bool) -> float:
    """The expected points of 8 visits where every circle and start of the expert is as likely: dynamic programming over what may
    still be the case."""
    circles = [(0, *rest) for rest in permutations(range(1, goals))]

    @cache
    def value(visit: int, place: int | None, possible: frozenset[Any]) -> float:
        if visit == 8:
            return 0.0
        return max(gain(visit, place, possible, goal) for goal in range(goals))

    def gain(visit: int, place: int | None, possible: frozenset[Any], goal: int) -> float:
        points = 0.0
        parts: dict[Any, set[Any]] = {}
        for circle, start in possible:
            chosen = [goal] if place is None else [place, goal]
            (_, paid) = recipe.visits(circle, chosen, penalty)[-1]
            points += paid / len(possible)
            seen = circle[(circle.index(start) + visit) % goals] if expert else None
            parts.setdefault((paid, seen), set()).add((circle, start))
        for (paid, _), part in parts.items():
            points += len(part) / len(possible) * value(visit + 1, goal if paid == 1 else place, frozenset(part))
        return points

    return value(0, None, frozenset((circle, start) for circle in circles for start in range(goals if expert else 1)))


def test_what_can_be_had_alone_and_beside_an_expert(recipe: Any) -> None:
    alone = [best(recipe, goals, penalty, expert=False) for goals in (3, 4) for penalty in (0, 1.5, 3)]
    assert alone == pytest.approx([7.5, 6.75, 6.0, 6.5, 4.25, 2.0])
    assert best(recipe, 4, 1.5, expert=True) == pytest.approx(6.25)
    game = make(NAME)
    totals = [
        sum(played(game, recipe, seed, lambda view, state: recipe.after(state.circle, view.own[-1][0]) if view.own else 0))
        for seed in range(9)
    ]
    assert totals == [8] * 9  # who knows the circle


# ---- a tiny policy


def played(game: Any, recipe: Any, seed: int, choose: Callable[[Any, Any], int]) -> list[float]:
    """What an episode pays in each round when ``choose(view, state)`` sits beside the script."""
    rng, state = random.Random(f"script {seed}"), game.reset(random.Random(seed))
    points: list[float] = []
    for _ in range(game.visits):
        companion = recipe.GOALS.index(recipe.expert(game.observe(state, 1).view, rng))
        step = game.step(state, {0: choose(game.observe(state, 0).view, state), 1: companion})
        state = step.state
        points.append(step.rewards[0])
    return points


CIRCLES = [(0, *rest) for rest in permutations(range(1, 4))]


def chances(moves: Iterable[tuple[int, int]], wrong: Iterable[tuple[int, int]], place: int, recipe: Any) -> Any:
    """(4,) how likely each goal comes next, where all circles with these moves and without the wrong ones are."""
    fits = [c for c in CIRCLES if all(recipe.after(c, a) == b for a, b in moves) and all(recipe.after(c, a) != b for a, b in wrong)]
    return np.bincount([recipe.after(circle, place) for circle in fits or CIRCLES], minlength=4) / len(fits or CIRCLES)


@cache
def features(view: Any, recipe: Any) -> Any:
    """(4, 3) of each goal: is it to wait, does it come next for certain if the companion goes round the circle, and is it wrong by
    one's own visits."""
    if not view.own:
        return np.zeros((4, 3))
    place = view.own[0][0]
    right: set[tuple[int, int]] = set()
    wrong: set[tuple[int, int]] = set()
    for goal, points in view.own[1:]:
        if points:
            (right if points > 0 else wrong).add((place, goal))
        place = goal if points > 0 else place
    seen = [goal for goal, _ in view.other or ()]
    shown = {(a, b) for a, b in pairwise(seen) if a != b}
    own, both = chances(right, wrong, place, recipe), chances(right | shown, wrong, place, recipe)
    waits = np.arange(4) == place
    return np.stack([waits, both == 1, (own == 0) & ~waits], axis=1)


def sampled(weights: Any, rng: Any, recipe: Any, slopes: list[Any]) -> Callable[[Any, Any], int]:
    """A softmax policy, which notes the slopes (3,) of the log-probabilities of what it draws."""

    def choose(view: Any, state: Any) -> int:
        x = features(view, recipe)
        p = np.exp(x @ weights)
        p /= p.sum()
        goal = min(3, int((p.cumsum() < rng.random()).sum()))
        slopes.append(x[goal] - p @ x)
        return goal

    return choose


def trained(game: Any, recipe: Any, seeds: list[int], caution: float) -> Any:
    """(3,) the weights of a softmax policy after 100 steps of REINFORCE, each on 30 of these games; the first weight starts at
    ``caution``, for who begins by guessing stays with it, and who begins by waiting alone waits for ever."""
    rng, weights, batch = np.random.default_rng(0), np.array([caution, 0.0, 0.0]), 30
    for _ in range(100):
        slopes: list[list[Any]] = [[] for _ in range(batch)]
        games = zip(rng.choice(seeds, batch), slopes, strict=True)
        points = np.array([played(game, recipe, int(seed), sampled(weights, rng, recipe, own)) for seed, own in games])
        returns = points[:, ::-1].cumsum(1)[:, ::-1]
        weights = weights + np.einsum("bt,btw->w", returns - returns.mean(0), np.array(slopes)) / batch
    return weights


def score(game: Any, recipe: Any, weights: Any, seeds: Iterable[int]) -> float:
    """Its points in an episode, where it does what it does most."""
    return fmean(
        sum(played(game, recipe, seed, lambda view, _: int(np.argmax(features(view, recipe) @ weights)))) for seed in seeds
    )


def test_a_tiny_policy_learns_to_follow_the_expert(recipe: Any) -> None:
    """On four of the six circles; then it follows on the other two as well, and a companion who is wrong, too."""
    game = make(NAME)
    by_circle: dict[Any, list[int]] = {}
    for seed in range(400):
        by_circle.setdefault(game.reset(random.Random(seed)).circle, []).append(seed)
    *known, first, second = by_circle.values()
    unseen = [*first, *second]
    weights = trained(game, recipe, [seed for seeds in known for seed in seeds], caution=2)
    beside = score(game, recipe, weights, unseen)
    assert 6.1 <= beside <= 6.4
    assert score(make(NAME, share=0.0), recipe, weights, unseen) < 2
    hidden = make(NAME, companion="hidden")
    alone = trained(hidden, recipe, [seed for seeds in known for seed in seeds], caution=0)
    assert 3.8 <= score(hidden, recipe, alone, unseen) <= 4.6


# ---- the recipe


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["goals=2"], "goals is a number from 3 to 6, not 2."),
        (["share=0.5"], "'share' is no option here: the program sets it by itself."),
        (["name=x"], "'name' is no option here"),
        (["--seed", "-1"], "seed"),
        (["--loss", "0"], "--loss is a number above 0"),
        (["prestige=no"], "should be 'shown' or 'hidden'"),
    ],
)
def test_wrong_words_are_one_sentence(recipe: Any, words: list[str], sentence: str, capsys: Any, tmp_path: Path) -> None:
    assert recipe.main([*words, "--out", str(tmp_path / "runs")]) == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert len(said.splitlines()) == 1
    assert not (tmp_path / "runs").exists()
