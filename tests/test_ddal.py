"""Learners that exchange gradients: what pieces weigh, who takes what and when, and that nobody waits or changes alone."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from detente import config
from detente.learning import loop
from detente.learning.work import Part

TINY = (
    "device=cpu game.rounds=2 episodes=4 group_size=4 lora.rank=2 optimizer.lr=0.01 opponents.kept=0 evaluation.episodes=0 "
    "evaluation.every=0 algorithm=reinforce seats=[main,tit_for_tat] iterations=3"
)


@pytest.fixture(scope="module")
def ddal(script: Callable[[str], Any]) -> Any:
    return script("ddal")


def pieces(ddal: Any, experience: Any, relevance: Any) -> list[Any]:
    return [ddal.Piece(i, *both, torch.tensor([float(i), 1.0])) for i, both in enumerate(zip(experience, relevance, strict=True))]


def test_what_a_piece_counts(ddal: Any) -> None:
    four = pieces(ddal, (1, 2, 3, 4), (1, 1, 1, 1))
    assert ddal.weights(four) == pytest.approx([0.175, 0.225, 0.275, 0.325])
    assert ddal.mixed(four).tolist() == pytest.approx([0.225 + 2 * 0.275 + 3 * 0.325, 1])
    assert ddal.weights(pieces(ddal, (5, 5), (3, 1))) == pytest.approx([0.625, 0.375])
    assert ddal.weights(pieces(ddal, (7,), (2,))) == [1]


class Learning:
    """A learner whose gradients are its number, 100 more in every update."""

    def __init__(self, exchange: Any) -> None:
        self.exchange, self.version = exchange, 0
        self.trained = [torch.nn.Parameter(torch.zeros(1))]

    def accumulate(self, work: Any) -> Part:
        self.trained[0].grad = torch.tensor([100.0 * (self.version + 1) + self.exchange.number])
        return Part({}, ())

    def update(self) -> float:
        """The gradient that a step is taken with."""
        self.exchange.gradients(self, None, None)
        self.version += 1
        return float(self.trained[0].grad or 0)


def learning(ddal: Any, count: int, *rules: int) -> list[Learning]:
    boxes: list[Any] = [deque() for _ in range(count)]
    return [Learning(ddal.Exchange(number, 1.0, ddal.Rules(*rules), boxes)) for number in range(count)]


def test_nobody_shares_below_the_threshold_or_without_pieces(ddal: Any) -> None:
    for rules, alone in (((3, 1, 2), 3), ((0, 1, 0), 5)):
        learners = learning(ddal, 2, *rules)
        for update in range(1, alone + 1):
            assert [learner.update() for learner in learners] == [100 * update, 100 * update + 1]
        assert not any(box for learner in learners for box in learner.exchange.boxes)
    first, second = learning(ddal, 2, 1, 1, 2)
    assert [first.update(), second.update()] == [100, 101]
    assert first.update() == 200  # nothing but its own has come
    assert second.update() == pytest.approx(200.5)  # as much of the first's 200 as of its own 201


def test_pieces_are_used_once_the_oldest_first(ddal: Any) -> None:
    first, second = learning(ddal, 2, 0, 2, 3)
    steps = [(first.update(), second.update()) for _ in range(4)]
    assert steps[0] == (100, 101)  # every second update takes pieces, the others are one's own
    assert steps[2] == (300, 301)
    taken = [[(p.sender, p.experience) for p in learner.exchange.taken] for learner in (first, second)]
    assert taken == [[(1, 2), (0, 3), (1, 3)]] * 2  # before: the first pieces of both, and the second one of the first
    assert [[(p.sender, p.experience) for p in box] for box in first.exchange.boxes] == [[(0, 4), (1, 4)]] * 2


def test_a_slow_learner_blocks_nobody(ddal: Any) -> None:
    fast, slow = learning(ddal, 2, 0, 1, 9)
    assert [fast.update() for _ in range(5)] == [100, 200, 300, 400, 500]
    late = slow.update()  # all five that have come, and its own, which has the least experience
    assert [p.experience for p in slow.exchange.taken] == [1, 2, 3, 4, 5, 1]
    assert late == pytest.approx(
        sum(w * g for w, g in zip(ddal.weights(slow.exchange.taken), (100, 200, 300, 400, 500, 101), strict=True))
    )
    fast.update()
    assert [(p.sender, p.experience) for p in fast.exchange.taken] == [(1, 1), (0, 6)]


def test_who_is_alone_trains_as_ever_and_all_start_from_the_same(ddal: Any, tiny_model: str, tmp_path: Path) -> None:
    options = [config.load("ipd", [*TINY.split(), f"model={tiny_model}", f"seed={seed}"]) for seed in (0, 1)]
    alone = ddal.trained(options, [1.0, 1.0], ddal.Rules(0, 1, 0), 1, tmp_path / "alone")
    loop.train(options[0], tmp_path / "run")
    assert metrics(tmp_path / "alone" / "0") == metrics(tmp_path / "run")
    sharing = ddal.trained(options, [1.0, 1.0], ddal.Rules(1, 1, 2), 2, tmp_path / "sharing")
    assert [len(peer.rewards) for peer in sharing] == [3, 1]
    assert metrics(tmp_path / "sharing" / "1")[0] == metrics(tmp_path / "alone" / "1")[0]  # its only update was below the threshold
    assert "learner 1 took last: nothing" in ddal.comparison(alone, sharing)


def metrics(run: Path) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in row.items() if not key.startswith("time/")} for row in rows]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--learners", "1"], "--learners is 2 or more, not 1."),
        (["--m", "-1"], "--m is 0 or more, not -1."),
        (["--updates", "2", "--delay", "3"], "--delay is at most --updates, 2"),
        (["--relevance", "1", "0", "1"], "--relevance is a number above 0 for each of the 3 learners."),
        (["--relevance", "1"], "--relevance is a number above 0 for each of the 3 learners."),
        (["--out", str(Path(__file__).parent)], "is not empty; give --out another one."),
    ],
)
def test_wrong_numbers_are_one_sentence(ddal: Any, words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert ddal.main(words) == 2
    assert sentence in capsys.readouterr().err
