"""Credit over a trial, against the equations written out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from detente.errors import UserError
from detente.learning.batch import trajectory
from detente.learning.credit import Group, advantages_of, discounted_returns
from detente.learning.trial_credit import seen_from, trial_credit, with_trial_credit
from detente.options import AlgorithmOptions
from detente.records import Completion, Episode, PolicyRef, Round, Turn

MAIN = PolicyRef("adapter", "main")


class Plain:
    vocab_size, unguided = 16, None


def part(group: int, index: int, iteration: int, own: list[float], others: tuple[str, ...] = ()) -> Any:
    """A trajectory of the first seat, whose only opponent gets nothing."""
    completion = Completion("", MAIN, prompt_tokens=(5,), tokens=(6,), logprobs=(-1.0,))
    rounds = tuple(Round((Turn(0, "", "C", True, completion),), (points, 0.0), {}) for points in own)
    made = trajectory(Episode({"name": "x"}, 0, (MAIN, MAIN), rounds, ("main", None)), 0, 1.0, Plain())  # type: ignore[arg-type]
    return replace(made, group=group, index=index, iteration=iteration, others=others)


def returns(group: Group) -> Tensor:
    """Half of what follows counts in every round."""
    return discounted_returns(group.own, 0.5)


# Two copies of two games each, two parts of two rounds: [game][part][round].
PARTS: list[list[list[float]]] = [[[1.0, 2], [4, 0]], [[0, 0], [2, 2]], [[3, 1], [0, 8]], [[1, 1], [1, 0]]]
COPIES = ["rival_0", "rival_0", "rival_1", "rival_1"]
# Later parts count for all games of the copy: in sum [6, 2] for the first, [1, 8] for the second.
BY_HAND: list[list[list[float]]] = [
    [[1 + 2 / 2 + 6 / 4 + 2 / 8, 2 + 6 / 2 + 2 / 4], [4, 0]],
    [[0 + 6 / 4 + 2 / 8, 0 + 6 / 2 + 2 / 4], [2 + 2 / 2, 2]],
    [[3 + 1 / 2 + 1 / 4 + 8 / 8, 1 + 1 / 2 + 8 / 4], [0 + 8 / 2, 8]],
    [[1 + 1 / 2 + 1 / 4 + 8 / 8, 1 + 1 / 2 + 8 / 4], [1, 0]],
]


def batch() -> list[Any]:
    """The parts as a learner gets them, iteration by iteration."""
    return [
        part(index // 2, index, iteration + 1, PARTS[index][iteration], (COPIES[index],))
        for iteration in (0, 1)
        for index in range(4)
    ]


def test_later_parts_count_for_all_games_of_the_copy() -> None:
    credited = with_trial_credit(batch(), returns, fewest=1)
    for made in credited:
        assert made.credit.tolist() == BY_HAND[made.index][made.iteration - 1]
    assert [(made.iteration, made.index) for made in credited] == [(made.iteration, made.index) for made in batch()]


def test_the_baseline_compares_all_copies_at_the_same_part_and_round() -> None:
    options = AlgorithmOptions(gamma=0.5, baseline="batch")
    by_hand = torch.tensor(BY_HAND)
    expected = by_hand - (by_hand.sum(0) - by_hand) / 3
    for made in with_trial_credit(batch(), lambda group: advantages_of(group.own, options), fewest=2):
        assert made.credit.tolist() == pytest.approx(expected[made.index, made.iteration - 1].tolist())


def test_the_equation_over_three_parts() -> None:
    rewards, sharing = torch.rand(5, 3, 4, 2, dtype=torch.float64), torch.tensor([0, 1, 0, 1, 1])
    group = Group(rewards.flatten(1, 2)[None], seat=0)
    credit = trial_credit(group, 3, sharing, lambda seen: discounted_returns(seen.own, 0.9))[0]
    own = rewards[..., 0]
    for game in range(5):
        for e in range(3):
            for t in range(4):
                value: Any = sum(0.9 ** (k - t) * own[game, e, k] for k in range(t, 4))
                for later in range(e + 1, 3):
                    together = sum(own[i, later, k] * 0.9**k for i in range(5) if sharing[i] == sharing[game] for k in range(4))
                    value += 0.9 ** ((later - e) * 4 - t) * together
                assert float(credit[game, 4 * e + t]) == pytest.approx(float(value), abs=1e-12)


def test_an_algorithm_sees_the_whole_trial_and_its_own_past() -> None:
    rewards = torch.arange(8.0).reshape(2, 2, 2, 1)  # two games of one copy
    assert seen_from(rewards, 0, torch.tensor([0, 0])).flatten(1).tolist() == [[0, 1, 8, 10], [4, 5, 8, 10]]
    assert seen_from(rewards, 1, torch.tensor([0, 0])).flatten(1).tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]
    lengths: set[int] = set()

    def assign(group: Group) -> Tensor:
        lengths.add(len(group.actions[0][0]))
        return group.own

    with_trial_credit(batch(), assign, fewest=1)
    assert lengths == {4}


def test_against_who_does_not_learn_each_game_counts_alone() -> None:
    alone = [replace(made, others=()) for made in batch()]
    (first,) = [made for made in with_trial_credit(alone, returns, fewest=1) if (made.index, made.iteration) == (0, 1)]
    assert first.credit is not None
    assert first.credit.tolist() == [1 + 2 / 2 + 4 / 4, 2 + 4 / 2]


def test_a_game_alone_is_left_out_unless_nothing_is_compared() -> None:
    lone = [made for made in batch() if made.index == 0]
    assert with_trial_credit(lone, returns, fewest=2) == []
    assert len(with_trial_credit(lone, returns, fewest=1)) == 2


def test_games_of_different_length_are_refused() -> None:
    with pytest.raises(UserError, match="collect=trial needs episodes of equal length"):
        with_trial_credit([*batch(), part(2, 4, 1, [1.0]), part(2, 4, 2, [1.0])], returns, fewest=1)
    with pytest.raises(UserError, match="collect=trial needs episodes of equal length"):
        with_trial_credit(batch()[:-1], returns, fewest=1)
