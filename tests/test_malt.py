"""Generator, verifier, refiner: the values of a tree, what they train, which rows they make, and who is asked how often."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
import torch

from detente import config
from detente.games import make
from detente.games.contract import check_game
from detente.learning.branches import played
from detente.learning.credit import Group
from detente.matches import Named, Scripts, play
from detente.options import AlgorithmOptions
from detente.players.base import Player
from detente.players.scripted import Scripted
from detente.records import Completion, Episode, PolicyRef, Round, Seating, Turn, read_episodes

NAME = "experiments.malt:Malt"
LABELS = ("<A>", "<B>")


@pytest.fixture(scope="module")
def recipe(script: Callable[[str], Any]) -> Any:
    return script("malt")


def group(leaves: str) -> list[Episode]:
    """Episodes whose final answers are right (1) or not."""
    policy = PolicyRef("adapter", "x")
    episodes = []
    for number, leaf in enumerate(leaves):
        begun = [str(number // 9), str(number // 3), str(number)]
        replayed = [number % 9 > 0, number % 3 > 0, False]
        turns = [
            Turn(s, f"asked {begun[:s]}", begun[s], True, Completion(begun[s], policy), replayed=replayed[s]) for s in range(3)
        ]
        episodes.append(Episode({}, 0, (policy,) * 3, (Round(tuple(turns), (float(leaf),) * 3, {}),), index=number))
    return episodes


def test_the_rules_hold() -> None:
    check_game(make(NAME))
    check_game(make(NAME, reliable=1.0))


def test_values_and_signs_by_hand(recipe: Any) -> None:
    """Of the first answer's criticisms 110, 100 and 000 of the final answers are right; all others are wrong."""
    tree = recipe.nodes(group("110100000" + "0" * 18))
    assert [len([node for node in tree if node.seat == seat]) for seat in range(3)] == [3, 9, 27]
    assert [node.value for node in tree[:6]] == pytest.approx([1 / 3, 0, 0, 2 / 3, 1 / 3, 0])
    assert [node.positive for node in tree[:6]] == [False, False, False, True, False, False]
    assert [node.turn.action for node in tree[3:6]] == ["0", "1", "2"]
    assert len({(node.seat, node.turn.action) for node in tree}) == 39


def test_rows_by_hand(recipe: Any) -> None:
    tree = recipe.nodes(group("110100000" + "1" * 9 + "0" * 9))
    sft, dpo = recipe.sft_rows(tree), recipe.dpo_rows(tree)
    assert [len([row for row in sft if row["role"] == role]) for role in recipe.ROLES] == [1, 1 + 3, 3 + 9]
    assert sft[0]["messages"] == [{"role": "user", "content": "asked []"}, {"role": "assistant", "content": "1"}]
    pairs = [(row["role"], row["chosen"][0]["content"], row["rejected"][0]["content"]) for row in dpo]
    # of the first answer: criticism 0 is better than 1 and 2; final answers 0 and 1 than 2, and 3 than 4 and 5; the rest is uniform
    assert sorted(pairs[:2]) == [("verifier", "0", "1"), ("verifier", "0", "2")]
    assert sorted(pairs[2:]) == [("refiner", *pair) for pair in ("02", "12", "34", "35")]
    for row in dpo:  # both were given to the same beginning
        number, width = int(row["chosen"][0]["content"]), {"verifier": 3, "refiner": 3}[row["role"]]
        assert number // width == int(row["rejected"][0]["content"]) // width
        assert row["prompt"][0]["content"].startswith("asked ")


def test_pairs_of_answers_differ_and_are_all_different(recipe: Any) -> None:
    """Verifiers say 0 or 1 after the same beginning, in two trees; 0 is right more often than not, 1 at most in a half."""

    def tree(*verifiers: tuple[str, float]) -> list[Any]:
        policy = PolicyRef("adapter", "x")
        turns = [Turn(1, "asked", said, True, Completion(said, policy)) for said, _ in verifiers]
        return [recipe.Node(1, 0, turn, value, value > 0.5) for turn, (_, value) in zip(turns, verifiers, strict=True)]

    first, second = tree(("0", 1.0), ("0", 1 / 3), ("1", 0.0)), tree(("0", 2 / 3), ("1", 1.0), ("1", 0.0))
    for trees in (first, first + second):
        (row,) = recipe.dpo_rows(trees)
        assert (row["chosen"][0]["content"], row["rejected"][0]["content"]) == ("0", "1")
    assert recipe.dpo_rows(second) == [row]
    assert recipe.dpo_rows(tree(("0", 1.0), ("0", 0.0))) == []


def test_credit_is_the_value_less_that_of_the_siblings(recipe: Any) -> None:
    rewards = torch.tensor([float(leaf) for leaf in "110100000" + "1" * 9 + "0" * 9], dtype=torch.float64)
    rewards = rewards[None, :, None, None].expand(1, 27, 1, 3)

    def credit(seat: int) -> list[float]:
        return recipe.siblings(Group(rewards, seat), AlgorithmOptions())[0, :, 0].tolist()

    generator = [1 / 3 - 1 / 2, 1 - 1 / 6, 0 - 2 / 3]
    assert credit(0) == pytest.approx([value for value in generator for _ in range(9)])
    verifier = [2 / 3 - 1 / 6, 1 / 3 - 1 / 3, 0 - 1 / 2]
    assert credit(1)[:9] == pytest.approx([value for value in verifier for _ in range(3)])
    assert credit(1)[9:] == pytest.approx([0] * 18)
    assert credit(2)[:9] == pytest.approx([0.5, 0.5, -1, 1, -0.5, -0.5, 0, 0, 0])


def careful(view: Sequence[str], rng: random.Random) -> tuple[float, ...]:
    """What most have said, one's own witness among them, and the first in a tie; four times in five."""
    likely = max(LABELS, key=lambda label: (view.count(label), view[0] == label))
    return tuple(0.8 if label == likely else 0.2 for label in LABELS)


class Careful(Scripts):
    def player(self, policy: PolicyRef, *, chat: str, seed: int) -> Player:
        return Scripted("careful", seed, careful)


def rate(truth: str, heard: Sequence[str], said: tuple[str, ...]) -> float:
    """How often the final answer is right after these answers, by the rule of ``careful``."""
    if len(said) == 3:
        return float(said[-1] == truth)
    chances = careful((*said, *heard[len(said) : len(said) + 1]), random.Random(0))
    return sum(chance * rate(truth, heard, (*said, label)) for label, chance in zip(LABELS, chances, strict=True))


def test_values_order_answers_as_their_true_rates_of_success(recipe: Any) -> None:
    """Players who err at random: the mean value of an answer is its true rate, and 39 answers are asked for."""
    questions, game = 200, make(NAME)
    chosen = config.load_game(NAME, ["tree=[3,3,3]", "group_size=27", f"episodes={27 * questions}", "seats=[main,main,main]"])
    policy = PolicyRef("script", "careful")
    seated = [Seating((policy,) * 3, ("main",) * 3, 1, index // 27, index) for index in range(27 * questions)]

    def asked(seatings: Sequence[Seating], *, watch: Any = None) -> Any:
        return play(Careful(game), game, seatings, stream=Named(("games",), ("players",)), watch=watch)

    episodes = asyncio.run(played(chosen, seated, asked, lambda episode: None))
    assert sum(not turn.replayed for episode in episodes for turn in episode.turns()) == 39 * questions
    values: dict[tuple[bool, ...], list[float]] = {}
    for start in range(0, len(episodes), 27):
        truth = episodes[start].rounds[0].info["truth"]
        for node in recipe.nodes(episodes[start : start + 27])[:3]:
            values.setdefault((node.turn.action == truth,), []).append(node.value)
    expected = {
        right: fmean(
            rate("<A>", heard, ("<A>" if right else "<B>",)) for heard in product(*[("<A>", "<A>", "<A>", "<A>", "<B>")] * 2)
        )
        for right in (True, False)
    }
    assert fmean(values[True,]) > fmean(values[False,])
    for right, rate_of_success in expected.items():
        assert fmean(values[right,]) == pytest.approx(rate_of_success, abs=0.1)


def test_the_recipe_trains_and_writes_its_rows(
    recipe: Any, tiny_model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recipe, "OPTIONS", f"model={tiny_model} {recipe.OPTIONS} episodes=27")
    assert recipe.main(["--iterations", "1", "--out", str(tmp_path / "run")]) == 0
    assert "of its final answers right" in capsys.readouterr().out
    episodes = read_episodes(tmp_path / "run" / "episodes" / "000001.jsonl.gz")
    asked = [turn for episode in episodes for turn in episode.turns() if not turn.replayed]
    assert (len(episodes), len(asked)) == (27, 39)
    (metrics,) = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    for seat, role in enumerate(recipe.ROLES):  # replayed tokens train once
        assert metrics[f"tokens/{role}/generated"] == sum(len(t.completion.tokens) for t in asked if t.player == seat)
    rows = [json.loads(line) for line in (tmp_path / "run" / "sft.jsonl").read_text().splitlines()]
    assert len(rows) == len(recipe.sft_rows(recipe.nodes(episodes)))


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["reliable=2"], "reliable is a share from 0.5 to 1, not 2"),
        (["--iterations", "0"], "iterations"),
        (["name=ipd"], "'name' is no option here"),
        (["relable=1"], "does not take these parameters"),
    ],
)
def test_wrong_input_is_one_sentence(recipe: Any, capsys: pytest.CaptureFixture[str], words: list[str], sentence: str) -> None:
    assert recipe.main([*words, "--out", "/nowhere/at/all"]) == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert len(said.strip().splitlines()) == 1
