"""Curricula on a table: the learner, and the program that compares them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest


@pytest.fixture(scope="module")
def recipe(script: Callable[[str], Any]) -> Any:
    return script("curriculum")


def test_gradients_are_those_of_the_choices(recipe: Any) -> None:
    weights = np.random.default_rng(0).normal(size=(5, 3))
    points, gradient = recipe.Learner(weights).play(5.0, 6, "tit_for_tat", 1, np.random.default_rng(1))
    cooperated = points[0, :, 0] + 2 * points[0, :, 1] >= 9  # 3 + 6 or 0 + 10, against 5 + 0 or 1 + 2

    def logprob(moved: Any) -> float:
        features, state, total = np.array([1.0, 0.2, -11.5 / 12.5]), 0, 0.0
        for t in range(6):
            p = 1 / (1 + np.exp(-moved[state] @ features))
            total += float(np.log(p if cooperated[t] else 1 - p))
            other = points[0, t, 1] == 5 or (not cooperated[t] and points[0, t, 1] == 1)
            state = 1 + 2 * int(not cooperated[t]) + int(other)
        return total

    for place in ((0, 0), (1, 2), (3, 1), (4, 0)):
        step = np.zeros((5, 3))
        step[place] = 1e-5
        slope = (logprob(weights + step) - logprob(weights - step)) / 2e-5
        assert gradient.sum((0, 1))[place] == pytest.approx(slope, abs=1e-6)


def test_a_defector_is_best_against_the_unconditional_alone(recipe: Any) -> None:
    defector = recipe.Learner(np.array([[-40.0, 0, 0]] * 5))
    by_script = np.array(recipe.held_out(defector, 0)).reshape(len(recipe.HELD_OUT), 5)
    assert by_script[:, :2] == pytest.approx(np.ones((20, 2)))
    assert by_script[:, 4] == pytest.approx(np.ones(20), abs=0.05)
    assert (by_script[:, 2:4] < 0.75).all()


def test_a_method_is_measured_twice(recipe: Any, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = recipe.trained(recipe.configured("maestro", 0), 40)
    assert first != second
    assert len(first) == 100
    assert recipe.main(["--groups", "20", "--seeds", "0", "--methods", "uniform", "pfsp"]) == 0
    assert "uniform" in capsys.readouterr().out


@pytest.mark.parametrize("words", [["--groups", "0"], ["--seeds", "-1"], ["--methods", "mastro"]])
def test_wrong_words_are_a_sentence(recipe: Any, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        recipe.main(words)
    assert stopped.value.code == 2
    assert capsys.readouterr().err.count("error:") == 1
