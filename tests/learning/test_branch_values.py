"""Values of episodes with a common beginning against numbers worked out by hand.

tests/learning/test_mutations.py runs every test here that takes no argument on altered copies of the module, as ``branch_values``.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch

from detente.learning import branch_values, credit
from detente.options import CreditOptions


def close(actual: Any, expected: Any) -> None:
    torch.testing.assert_close(actual, torch.as_tensor(expected, dtype=actual.dtype))


def test_a_tree_of_two_levels_by_hand() -> None:
    """Three answers, three corrections of each: 110, 100 and 000 came out right."""
    root, middle, leaves = branch_values.tree_mean(torch.tensor([1.0, 1, 0, 1, 0, 0, 0, 0, 0]), (3, 3))
    close(middle, [2 / 3, 1 / 3, 0])
    close(root, [1 / 3])
    close(leaves, [1, 1, 0, 1, 0, 0, 0, 0, 0])


def test_a_tree_of_unequal_levels_keeps_what_is_before_it() -> None:
    leaves = torch.tensor([[1.0, 2, 3, 4, 5, 6], [0, 0, 0, 6, 6, 6]])
    root, middle, last = branch_values.tree_mean(leaves, (2, 3))
    close(root, [[3.5], [3]])
    close(middle, [[2, 5], [0, 6]])
    close(last, leaves)
    close(branch_values.tree_mean(leaves, (3, 2))[1], [[1.5, 3.5, 5.5], [0, 3, 6]])


def test_leaves_that_make_no_such_tree_are_an_error() -> None:
    for count in (8, 18):
        with pytest.raises(ValueError, match=f"A tree of sizes \\(3, 3\\) has 9 leaves, not {count}"):
            branch_values.tree_mean(torch.ones(5, 7, count), (3, 3))


def test_credit_offers_it() -> None:
    assert credit.tree_mean(torch.ones(4), (2, 2))[0].tolist() == [1.0]


# ---- advantages over alternatives

REWARDS = torch.tensor([1.0, 2, 4], dtype=torch.float64)
ALTERNATIVES = torch.tensor([[[1.0, 1, 1], [0, 2, 4]], [[2, 2, 0], [0, 0, 0]], [[4, 0, 0], [8, 0, 0]]], dtype=torch.float64)


def test_branch_advantages_by_hand() -> None:
    """Discounted by a half: 3 less the mean of 1.75 and 2; 4 less that of 3 and 0; 4 less that of 4 and 8."""
    close(branch_values.branch_advantages(REWARDS, ALTERNATIVES, 0.5), [1.125, 2.5, -2])
    both = branch_values.branch_advantages(
        torch.stack([REWARDS, 2 * REWARDS])[:, None], torch.stack([ALTERNATIVES] * 2)[:, None], 0.5
    )
    close(both, [[[1.125, 2.5, -2]], [[4.125, 6.5, 2]]])


def test_returns_end_with_those_of_the_alternatives() -> None:
    close(branch_values.branch_advantages(REWARDS, ALTERNATIVES[..., :1], 0.5), [0.5, 1, -2])
    # 1 + 1 less the mean of 1.5 and 1; 2 + 2 less that of 3 and 0; 4 less that of 4 and 8
    close(branch_values.branch_advantages(REWARDS, ALTERNATIVES[..., :2], 0.5), [0.75, 2.5, -2])
    close(branch_values.branch_advantages(REWARDS, ALTERNATIVES[..., :2], 0.0), [0.5, 1, -2])


def test_what_a_group_needs_of_episodes() -> None:
    """Alternatives need no other episodes, except where a weight compares with these."""
    cases: list[tuple[dict[str, Any], int]] = [
        ({}, 1),
        ({"shaping": "causal"}, 2),
        ({"weight_baseline": "group"}, 2),
        ({"weight_baseline": "none"}, 1),
        ({"shaping": "causal", "weight_baseline": "critic"}, 1),
    ]
    for options, fewest in cases:
        assert CreditOptions(baseline="branches", **options).fewest("advantage_alignment") == fewest
        assert CreditOptions(baseline="branches", **options).fewest("reinforce") == 1
    assert [
        CreditOptions.model_validate({"baseline": name}).fewest("reinforce") for name in ("group", "batch", "critic", "none")
    ] == [2, 2, 2, 1]
    assert CreditOptions(baseline="none").fewest("advantage_alignment") == 2
