"""Credit against numbers worked out by hand, brute-force double sums of the formulas, NumPy, and what must not change it.

tests/learning/test_mutations.py runs every test here that takes no argument on altered copies of the module, as ``credit``.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from detente.learning import credit
from detente.options import ALGORITHMS, AlgorithmOptions, CreditOptions

torch.set_num_threads(1)


def close(actual: Any, expected: Any, **tolerance: Any) -> None:
    torch.testing.assert_close(actual, torch.as_tensor(expected, dtype=actual.dtype), **tolerance)


def rewards(groups: int = 3, episodes: int = 4, rounds: int = 6, seed: int = 0) -> Any:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(2, groups, episodes, rounds, generator=generator, dtype=torch.float64)


def every_algorithm(own: Any, others: Any) -> Any:
    return [
        credit.reinforce(own, others, gamma=0.9),
        credit.sum_of_rewards(own, others, gamma=0.9),
        credit.advantage_alignment(own, others, beta=2.0, gamma=0.9, gamma_shaping=0.8),
        credit.advantage_alignment(own, others, beta=2.0, gamma=0.9, just_in_time=True),
        credit.advantage_alignment(own, others, beta=2.0, gamma=0.9, shaping="causal", first_round_bonus=0.05),
    ]


# --- returns, baseline, advantages -----------------------------------------------------------------------------------------


def test_discounted_returns_by_hand() -> None:
    # R_2 = 4, R_1 = 2 + 4/2, R_0 = 1 + 4/2
    close(credit.discounted_returns(torch.tensor([1.0, 2.0, 4.0]), 0.5), [3.0, 4.0, 4.0])
    # R_2 = 2, R_1 = 0.9 * 2, R_0 = 1 + 0.81 * 2
    close(credit.discounted_returns(torch.tensor([[[1.0, 0.0, 2.0]]]), 0.9), [[[2.62, 1.8, 2.0]]])


def test_returns_of_constant_rewards_are_the_geometric_series() -> None:
    # 1 + 0.9 + ... + 0.9^9 = (1 - 0.3486784401) / 0.1
    close(credit.discounted_returns(torch.ones(10, dtype=torch.float64), 0.9)[0], 6.513215599)


def test_decayed_sums_are_a_convolution() -> None:
    values = rewards()[0, 0, 0]
    close(credit.decayed_sums(values, 0.7), np.convolve(values, 0.7 ** np.arange(6))[:6])


def test_arguments_are_left_alone() -> None:
    own, others = rewards()
    before = own.clone()
    every_algorithm(own, others)
    assert torch.equal(own, before)


def test_leave_one_out_by_hand() -> None:
    # 1 - (2 + 6) / 2, 2 - (1 + 6) / 2, 6 - (1 + 2) / 2 in round 0; 0 - 3 / 2 twice, 3 - 0 in round 1
    group = torch.tensor([[1.0, 0.0], [2.0, 0.0], [6.0, 3.0]])
    expected = torch.tensor([[-3.0, -1.5], [-1.5, -1.5], [4.5, 3.0]])
    close(credit.leave_one_out(torch.stack([group, 10 + 2 * group])), torch.stack([expected, 2 * expected]))


def test_leave_one_out_of_a_pair_is_the_difference() -> None:
    close(credit.leave_one_out(torch.tensor([[[5.0], [2.0]]])), [[[3.0], [-3.0]]])


def test_leave_one_out_of_a_constant_is_zero_and_of_one_episode_an_error() -> None:
    close(credit.leave_one_out(torch.full((2, 5, 3), 0.7)), torch.zeros(2, 5, 3), atol=1e-6, rtol=0)
    with pytest.raises(ValueError, match="at least 2 episodes"):
        credit.leave_one_out(torch.zeros(2, 1, 3))


def test_generalized_advantages_by_hand() -> None:
    # delta = (1 + 4/2 - 3, 2 + 6/2 - 4) = (0, 1); A_1 = 1, A_0 = 0 + (1/2 * 3/4) * 1
    close(credit.generalized_advantages(torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0, 6.0]), 0.5, 0.75), [0.375, 1.0])


def test_generalized_advantages_at_both_ends_of_lambda() -> None:
    reward = rewards()[0]
    values = torch.rand(3, 4, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    one_step = reward + 0.9 * values[..., 1:] - values[..., :-1]
    close(credit.generalized_advantages(reward, values, 0.9, 0.0), one_step)
    to_the_end = [
        sum(0.9 ** (k - t) * reward[..., k] for k in range(t, 6)) + 0.9 ** (6 - t) * values[..., 6] - values[..., t]
        for t in range(6)
    ]
    close(credit.generalized_advantages(reward, values, 0.9, 1.0), torch.stack(to_the_end, -1))


# --- shaping weights -------------------------------------------------------------------------------------------------------


def test_returns_weights_by_hand() -> None:
    # S = 0, (0 + 1)/2, (1/2 + 2)/2, (5/4 + 4)/2 = 0, 1/2, 5/4, 21/8; W = S / 2
    close(credit.returns_weights(torch.tensor([1.0, 2.0, 4.0, 8.0]), 0.5), [0.0, 0.25, 0.625, 1.3125])


def test_just_in_time_weights_by_hand() -> None:
    # 1, 2 + 1/2, 4 + 5/4, 8 + 21/8
    close(credit.just_in_time_weights(torch.tensor([1.0, 2.0, 4.0, 8.0]), 0.5), [1.0, 2.5, 5.25, 10.625])


def test_causal_weights_by_hand() -> None:
    # gamma = 1/2, gamma_a = 1/4.   t = 1: P = (1), 1/4 * 1/4 * 1 = 1/16
    # t = 2: P = (1 + 2/2, 2) = (2, 2), 1/4 * (2/16 + 2/4) = 5/32
    # t = 3: P = (1 + 2/2 + 4/4, 2 + 4/2, 4) = (3, 4, 4), 1/4 * (3/64 + 4/16 + 4/4) = 83/256
    close(credit.causal_weights(torch.tensor([1.0, 2.0, 4.0, 8.0]), 0.5, 0.25), [0.0, 1 / 16, 5 / 32, 83 / 256])


def test_weights_equal_their_double_sums() -> None:
    own = rewards()[0]
    gamma, gamma_a = 0.9, 0.7
    advantages = credit.leave_one_out(credit.discounted_returns(own, gamma))
    returns, just_in_time, causal = torch.zeros(3, *own.shape, dtype=torch.float64)
    for t in range(6):
        for k in range(t + 1):
            just_in_time[..., t] += gamma_a ** (t - k) * advantages[..., k]
        for k in range(t):
            returns[..., t] += gamma_a * gamma_a ** (t - k) * advantages[..., k]
            received = sum(gamma ** (j - k) * own[..., j] for j in range(k, t))
            mean_of_the_others = (received.sum(1, keepdim=True) - received) / 3
            causal[..., t] += gamma_a * gamma_a ** (t - k) * (received - mean_of_the_others)
    close(credit.returns_weights(advantages, gamma_a), returns)
    close(credit.just_in_time_weights(advantages, gamma_a), just_in_time)
    close(credit.causal_weights(credit.leave_one_out(own), gamma, gamma_a), causal)


def test_the_causal_weight_ignores_what_comes_later_and_the_returns_weight_does_not() -> None:
    own, others = rewards()
    later = own.clone()
    later[:, 0, 3:] += 1.0

    def weights(own: Any, shaping: Any) -> Any:
        given = credit.leave_one_out(credit.discounted_returns(own, 0.9)), torch.ones_like(own)
        both = [credit.advantage_alignment(own, others, beta=b, gamma=0.9, shaping=shaping, advantages=given) for b in (0.0, 1.0)]
        return both[1] - both[0]

    close(weights(later, "causal")[..., :4], weights(own, "causal")[..., :4])
    assert (weights(later, "causal") - weights(own, "causal"))[:, 0, 4:].abs().min() > 0.1
    assert (weights(later, "returns") - weights(own, "returns"))[:, 0, 1:4].abs().min() > 0.1


# --- algorithms ------------------------------------------------------------------------------------------------------------

OWN = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])  # gamma 1/2: R = (1, 0), (1/2, 1); A1 = (1/2, -1), (-1/2, 1)
OTHERS = torch.tensor([[[0.0, 2.0], [4.0, 0.0]]])  # R = (1, 2), (4, 0); A2 = (-3, 2), (3, -2)


def test_reinforce_and_sum_of_rewards_by_hand() -> None:
    close(credit.reinforce(OWN, OTHERS, gamma=0.5), [[[0.5, -1.0], [-0.5, 1.0]]])
    close(credit.sum_of_rewards(OWN, OTHERS, gamma=0.5), [[[-2.5, 1.0], [2.5, -1.0]]])


def test_advantage_alignment_by_hand() -> None:
    # W_1 = 1/4 * A1_0 = 1/8, -1/8; C_1 = -1 + 3 * 1/8 * 2, 1 + 3 * -1/8 * -2
    close(credit.advantage_alignment(OWN, OTHERS, beta=3.0, gamma=0.5), [[[0.5, -0.25], [-0.5, 1.75]]])
    # gamma_a = 1: W_1 = A1_0 = 1/2, -1/2
    close(credit.advantage_alignment(OWN, OTHERS, beta=1.0, gamma=0.5, gamma_shaping=1.0), [[[0.5, 0.0], [-0.5, 2.0]]])


def test_causal_advantage_alignment_by_hand() -> None:
    # own reward in round 0 less the other's: 1, -1; W_1 = 1/4, -1/4; C_1 = -1 + 3/4 * 2, 1 + 3/4 * 2
    close(credit.advantage_alignment(OWN, OTHERS, beta=3.0, gamma=0.5, shaping="causal"), [[[0.5, 0.5], [-0.5, 2.5]]])


def test_the_baseline_is_an_option() -> None:
    # without one A1 = (1, 0), (1/2, 1), A2 = (1, 2), (4, 0): W_1 = 1/4, 1/8
    plain = credit.no_baseline
    close(credit.reinforce(OWN, OTHERS, gamma=0.5, baseline=plain), [[[1.0, 0.0], [0.5, 1.0]]])
    close(credit.sum_of_rewards(OWN, OTHERS, gamma=0.5, baseline=plain), [[[2.0, 2.0], [4.5, 1.0]]])
    close(credit.advantage_alignment(OWN, OTHERS, beta=1.0, gamma=0.5, baseline=plain), [[[1.0, 0.5], [0.5, 1.0]]])


def test_advantages_from_elsewhere_replace_those_of_the_rewards() -> None:
    given = (torch.tensor([[[4.0, 1.0]]]), torch.tensor([[[5.0, 2.0]]]))
    one = torch.zeros(1, 1, 2)  # a group of one episode, which leave_one_out would refuse
    close(credit.reinforce(one, one, gamma=0.5, advantages=given), [[[4.0, 1.0]]])
    close(credit.sum_of_rewards(one, one, gamma=0.5, advantages=given), [[[9.0, 3.0]]])
    close(credit.advantage_alignment(one, one, beta=1.0, gamma=0.5, advantages=given), [[[4.0, 3.0]]])  # 1 + 1/4 * 4 * 2


def weight(**options: Any) -> Any:
    """The weight itself: A1 = (1, -2, 4), A2 = 1, gamma_a = 1/2."""
    own = torch.tensor([[[1.0, -2.0, 4.0]]], dtype=torch.float64)
    given = own, torch.ones_like(own)
    return (credit.advantage_alignment(own, own, beta=1.0, gamma=0.5, advantages=given, **options) - own)[0, 0]


def test_modifiers_of_the_weight_by_hand() -> None:
    close(weight(), [0.0, 0.25, -0.375])  # S = 0, 1/2, (1/2 - 2) / 2
    close(weight(just_in_time=True), [1.0, -1.5, 3.25])
    close(weight(sign=True), [0.0, 1.0, -1.0])
    close(weight(clip=0.3), [0.0, 0.25, -0.3])
    close(weight(clip=0.1), [0.0, 0.1, -0.1])
    close(weight(divide_by_time=True), [0.0, 0.125, -0.125])
    close(weight(first_round_bonus=0.1, first_round_decay=0.5), [0.1, 0.3, -0.35])
    close(weight(first_round_bonus=1.0), [1.0, 0.95, 0.115])  # 1, 1/4 + 0.7, -3/8 + 0.49


def test_modifiers_apply_in_the_documented_order() -> None:
    # (0, 1, -1), clipped to 0.3, divided by 1, 2, 3: (0, 0.15, -0.1), and the bonus 0.1, 0.05, 0.025
    every = weight(sign=True, clip=0.3, divide_by_time=True, first_round_bonus=0.1, first_round_decay=0.5)
    close(every, [0.1, 0.2, -0.075])


def test_unknown_shaping_and_causal_just_in_time_are_errors() -> None:
    with pytest.raises(ValueError, match="got 'paper'"):
        weight(shaping="paper")
    with pytest.raises(ValueError, match="got 'causal'"):
        weight(shaping="causal", just_in_time=True)


def test_beta_zero_is_reinforce() -> None:
    own, others = rewards()
    close(credit.advantage_alignment(own, others, beta=0.0, gamma=0.9), credit.reinforce(own, others, gamma=0.9))


def test_a_constant_added_to_a_group_changes_nothing() -> None:
    own, others = rewards()
    shift = torch.tensor([1.0, -2.0, 5.0], dtype=torch.float64)[:, None, None]
    for before, after in zip(every_algorithm(own, others), every_algorithm(own + shift, others - 3 * shift), strict=True):
        close(after, before)


def test_permuted_episodes_have_permuted_credit_and_groups_do_not_mix() -> None:
    own, others = rewards()
    order = [2, 0, 3, 1]
    for before, after in zip(every_algorithm(own, others), every_algorithm(own[:, order], others[:, order]), strict=True):
        close(after, before[:, order])
    for before, after in zip(every_algorithm(own, others), every_algorithm(own[1:2], others[1:2]), strict=True):
        close(after, before[1:2])


def test_long_episodes_do_not_overflow() -> None:
    # powers of 1 / gamma leave float32 after 842 rounds of gamma 0.9
    own, others = rewards(1, 2, 1000).float()
    for result in every_algorithm(own, others)[2:]:
        assert result.isfinite().all()
    weights = credit.returns_weights(torch.ones(1000), 0.9)
    close(weights[-1], 8.1)  # 0.81 / (1 - 0.9)


def test_one_round_is_an_episode() -> None:
    own, others = rewards(rounds=1)
    for result in every_algorithm(own, others)[:3]:
        assert result.shape == own.shape
    close(credit.advantage_alignment(own, others, beta=2.0, gamma=0.9), credit.reinforce(own, others, gamma=0.9))


def test_dtype_and_device_are_those_of_the_rewards() -> None:
    own, others = rewards()
    for target in (torch.float32, torch.bfloat16, "meta"):
        for result in every_algorithm(own.to(target), others.to(target)):
            assert target in (result.dtype, result.device.type)


# --- what own rewards are compared with inside the weight alone --------------------------------------------------------------

VALUES = torch.tensor([[[2.0, 4.0], [0.0, 1.0]]])  # gamma 1/2: delta = (1 + 2 - 2, 0 - 4), (0 + 1/2 - 0, 1 - 1) = (1, -4), (1/2, 0)


def test_a_baseline_for_the_weight_alone_by_hand() -> None:
    plain: dict[str, Any] = {"beta": 1.0, "gamma": 0.5, "baseline": credit.no_baseline}
    # A1 = (1, 0), (1/2, 1) and A2 = (1, 2), (4, 0) have none; W_1 = 1/4 * (1/2, -1/2) of the returns less the other's
    close(credit.advantage_alignment(OWN, OTHERS, weight_baseline=credit.leave_one_out, **plain), [[[1.0, 0.25], [0.5, 1.0]]])
    # causal: 1/4 * (1, -1) of the rewards less the other's
    causal = credit.advantage_alignment(OWN, OTHERS, weight_baseline=credit.leave_one_out, shaping="causal", **plain)
    close(causal, [[[1.0, 0.5], [0.5, 1.0]]])
    # A1 = (1/2, -1), (-1/2, 1) and A2 = (-3, 2), (3, -2) have one, the weight has none: W_1 = 1/4 * (1, 1/2), 1/4 * (1, 0)
    bare: dict[str, Any] = {"beta": 1.0, "gamma": 0.5, "weight_baseline": credit.no_baseline}
    close(credit.advantage_alignment(OWN, OTHERS, **bare), [[[0.5, -0.5], [-0.5, 0.75]]])
    close(credit.advantage_alignment(OWN, OTHERS, shaping="causal", **bare), [[[0.5, -0.5], [-0.5, 1.0]]])


def test_a_critic_for_the_weight_alone_by_hand() -> None:
    # A1 = (1/2, -1), (-1/2, 1), A2_1 = 2, -2.   lambda 0: W_1 = 1/4 * delta_0 = 1/4, 1/8, in both forms
    given: dict[str, Any] = {"beta": 1.0, "gamma": 0.5, "weight_values": VALUES}
    forms: list[dict[str, Any]] = [{"shaping": "returns"}, {"shaping": "causal"}]
    for form in forms:
        close(credit.advantage_alignment(OWN, OTHERS, **form, **given), [[[0.5, -0.5], [-0.5, 0.75]]])
    # lambda 1/2: A_0 = delta_0 + 1/4 delta_1 = 0, 1/2; W_1 = 1/4 of it.   The causal form stops before round 1
    close(credit.advantage_alignment(OWN, OTHERS, weight_lambda=0.5, **given), [[[0.5, -1.0], [-0.5, 0.75]]])
    causal = credit.advantage_alignment(OWN, OTHERS, weight_lambda=0.5, shaping="causal", **given)
    close(causal, [[[0.5, -0.5], [-0.5, 0.75]]])


def test_the_weight_of_a_critic_equals_its_double_sum() -> None:
    own, ones, values = rewards()[0], torch.ones(3, 4, 6, dtype=torch.float64), rewards(seed=1)[0]
    gamma, gamma_a, lam = 0.9, 0.7, 0.6
    ends = torch.cat([values, torch.zeros_like(values[..., :1])], -1)
    expected = {"returns": torch.zeros_like(own), "causal": torch.zeros_like(own)}
    for t in range(6):
        for k in range(t):
            for shaping, end in (("returns", 6), ("causal", t)):
                deltas = [own[..., j] + gamma * ends[..., j + 1] - ends[..., j] for j in range(k, end)]
                treated = sum((gamma * lam) ** i * delta for i, delta in enumerate(deltas))
                expected[shaping][..., t] += gamma_a * gamma_a ** (t - k) * treated
    options: dict[str, Any] = {"beta": 1.0, "gamma": gamma, "gamma_shaping": gamma_a, "advantages": (0 * own, ones)}
    options |= {"weight_values": values, "weight_lambda": lam}
    close(credit.advantage_alignment(own, own, shaping="returns", **options), expected["returns"])
    close(credit.advantage_alignment(own, own, shaping="causal", **options), expected["causal"])


def test_what_the_weight_knows_of_later_rounds_by_finite_differences() -> None:
    """dW_t / dr_l, l >= t, is 0 but for returns with lambda above 0: gamma_a gamma_a^(t-k) (gamma lambda)^(l-k) over k."""
    own, values = rewards()[0], rewards(seed=1)[0]
    step = 1e-6

    def slope(late: int, **options: Any) -> Any:
        def weights(given: Any) -> Any:
            ones = torch.zeros_like(given), torch.ones_like(given)
            return credit.advantage_alignment(given, given, beta=1.0, gamma=0.9, advantages=ones, weight_values=values, **options)

        later = own.clone()
        later[..., late] += step
        return (weights(later) - weights(own))[0, 0] / step

    for options in ({"shaping": "causal", "weight_lambda": 0.6}, {"shaping": "returns"}, {"shaping": "causal"}):
        close(slope(3, **options)[:4], torch.zeros(4), atol=1e-8, rtol=0)
        assert slope(3, **options)[4] > 0.5
    expected = [sum(0.9 * 0.9 ** (t - k) * 0.54 ** (3 - k) for k in range(t)) for t in range(4)]
    close(slope(3, shaping="returns", weight_lambda=0.6)[:4], expected, atol=1e-8, rtol=0)


def test_the_options_choose_what_the_weight_compares() -> None:
    """Unset it is what the credit has, and never nothing."""
    generator = torch.Generator().manual_seed(3)
    values = torch.rand(1, 4, 5, generator=generator, dtype=torch.float64)
    group = credit.Group(torch.rand(1, 4, 5, 2, generator=generator, dtype=torch.float64), 0, values)
    unvalued = credit.Group(group.rewards, 0)
    for shaping in ("returns", "causal"):

        def made(seen: Any = unvalued, shaping: Any = shaping, **options: Any) -> Any:
            return credit.ALGORITHMS["advantage_alignment"](seen, CreditOptions(gamma=0.8, shaping=shaping, **options))

        def wanted(shaping: Any = shaping, **given: Any) -> Any:
            return credit.advantage_alignment(group.own, group.others, beta=1.0, gamma=0.8, shaping=shaping, **given)

        assert torch.equal(made(), wanted())
        assert torch.equal(made(weight_baseline="group"), wanted())
        assert torch.equal(made(weight_baseline="none"), wanted(weight_baseline=credit.no_baseline))
        for chosen in ({}, {"weight_baseline": "group"}):
            bare = wanted(baseline=credit.no_baseline, weight_baseline=credit.leave_one_out)
            assert torch.equal(made(baseline="none", **chosen), bare)
        assert torch.equal(made(baseline="none", weight_baseline="none"), wanted(baseline=credit.no_baseline))
        learned = wanted(weight_values=group.values, weight_lambda=0.3)
        assert torch.equal(made(group, weight_baseline="critic", weight_lambda=0.3), learned)  # the credit has no critic
        others = credit.leave_one_out(credit.discounted_returns(group.others, 0.8))
        given = credit.critic_advantages(group.own, values, 0.8, 0.95), others
        assert torch.equal(made(group, baseline="critic"), wanted(advantages=given))
        compared = wanted(advantages=given, weight_baseline=credit.leave_one_out)
        assert torch.equal(made(group, baseline="critic", weight_baseline="group"), compared)


# --- whitening -----------------------------------------------------------------------------------------


def test_whiten_by_hand() -> None:
    # mean 4, deviations -3, -1, 1, 3, variance (9 + 1 + 1 + 9) / 4 = 5
    whitened = credit.whiten(torch.tensor([[1.0, 3.0], [5.0, 7.0]], dtype=torch.float64))
    close(whitened, np.array([[-3.0, -1.0], [1.0, 3.0]]) / 5**0.5, rtol=1e-5, atol=0)


def test_whiten_leaves_rounding_small() -> None:
    close(credit.whiten(torch.tensor([1e-6, -1e-6], dtype=torch.float64)), [0.5, -0.5])
    assert torch.equal(credit.whiten(torch.zeros(4)), torch.zeros(4))


def test_every_algorithm_takes_both_advantages_from_the_alternatives() -> None:
    """One episode, two players; the other earns 1, 0, 2 and 0 in every alternative."""
    earned = torch.tensor([1.0, 2, 4], dtype=torch.float64)
    otherwise = torch.tensor([[[1.0, 1, 1], [0, 2, 4]], [[2, 2, 0], [0, 0, 0]], [[4, 0, 0], [8, 0, 0]]], dtype=torch.float64)
    rewards = torch.stack([earned, torch.tensor([1.0, 0, 2], dtype=torch.float64)], -1)[None, None]
    alternatives = torch.stack([otherwise, torch.zeros_like(otherwise)], -1)[None, None]
    group = credit.Group(rewards, 0, alternatives=alternatives)
    own, others = torch.tensor([1.125, 2.5, -2], dtype=torch.float64), torch.tensor([1.5, 1, 2], dtype=torch.float64)
    options = CreditOptions(gamma=0.5, baseline="branches", beta=2.0, gamma_shaping=1.0)
    close(credit.ALGORITHMS["reinforce"](group, options)[0, 0], own)
    close(credit.ALGORITHMS["sum_of_rewards"](group, options)[0, 0], own + others)
    weights = torch.tensor([0, 1.125, 3.625], dtype=torch.float64)
    close(credit.ALGORITHMS["advantage_alignment"](group, options)[0, 0], own + 2 * weights * others)
    with pytest.raises(ValueError, match="needs the alternatives of the group"):
        credit.ALGORITHMS["reinforce"](replace(group, alternatives=None), options)


# --- algorithms of a group ---------------------------------------------------------------------------------------------------

THREE = torch.tensor([[[[1.0, 2.0, 4.0], [3.0, 5.0, 1.0]], [[0.0, 1.0, 2.0], [7.0, 0.0, 2.0]]]], dtype=torch.float64)


def test_a_group_by_hand() -> None:
    group = credit.Group(THREE, 2)
    assert group.own.tolist() == [[[4.0, 1.0], [2.0, 2.0]]]
    assert group.others.tolist() == [[[3.0, 8.0], [1.0, 7.0]]]
    assert (group.values, group.actions) == (None, ())


def test_advantages_by_hand() -> None:
    # returns 4 + 1/2, 1 and 2 + 2/2, 2: each less the other's
    own = credit.Group(THREE, 2).own
    close(credit.advantages_of(own, AlgorithmOptions(gamma=0.5)), [[[1.5, -1.0], [-1.5, 1.0]]])
    close(credit.advantages_of(own, AlgorithmOptions(gamma=0.5, baseline="batch")), [[[1.5, -1.0], [-1.5, 1.0]]])
    close(credit.advantages_of(own, AlgorithmOptions(gamma=0.5, baseline="none")), [[[4.5, 1.0], [3.0, 2.0]]])
    # with a critic: delta = 4 + 6/2 - 5, 1 - 6 and 2 + 0 - 1, 2 - 0; A_0 = delta_0 + 3/8 delta_1
    values = torch.tensor([[[5.0, 6.0], [1.0, 0.0]]], dtype=torch.float64)
    options = AlgorithmOptions(gamma=0.5, gae_lambda=0.75, baseline="critic")
    close(credit.advantages_of(own, options, values), [[[0.125, -5.0], [1.75, 2.0]]])
    close(credit.advantages_of(own, options), [[[1.5, -1.0], [-1.5, 1.0]]])


def test_the_algorithms_of_a_group_are_the_functions_of_its_rewards() -> None:
    """Bit by bit, whatever the number of players, the baseline and the options."""
    chosen: list[dict[str, Any]] = [
        {},
        {"shaping": "causal", "gamma_shaping": 0.7, "first_round_bonus": 0.1, "first_round_decay": 0.4, "clip": 0.3},
        {"just_in_time": True, "sign": True, "divide_by_time": True},
    ]
    generator = torch.Generator().manual_seed(2)
    for players, baseline in ((2, "group"), (3, "none"), (9, "batch"), (4, "critic")):
        rounds = [torch.rand(6, players, generator=generator, dtype=torch.float64) / 3 for _ in range(5)]  # one per episode
        own = torch.stack([rewards[:, 1] for rewards in rounds])[None]
        others = torch.stack([rewards.sum(1) - rewards[:, 1] for rewards in rounds])[None]
        values = torch.rand(1, 5, 6, generator=generator, dtype=torch.float64) if baseline == "critic" else None
        group = credit.Group(torch.stack(rounds)[None], 1, values)
        given: dict[str, Any] = {"gamma": 0.8, "baseline": credit.no_baseline if baseline == "none" else credit.leave_one_out}
        if values is not None:
            learned = credit.generalized_advantages(own, torch.cat([values, torch.zeros(1, 5, 1)], -1), 0.8, 0.6)
            given["advantages"] = learned, credit.leave_one_out(credit.discounted_returns(others, 0.8))
        for options in chosen:
            told = CreditOptions(gamma=0.8, gae_lambda=0.6, baseline=baseline, beta=2.0, **options)
            results = {name: algorithm(group, told) for name, algorithm in credit.ALGORITHMS.items()}
            assert torch.equal(results["reinforce"], credit.reinforce(own, others, **given))
            assert torch.equal(results["sum_of_rewards"], credit.sum_of_rewards(own, others, **given))
            weighed = credit.leave_one_out if baseline == "none" else None  # the weight always has a baseline
            aligned = credit.advantage_alignment(own, others, beta=2.0, weight_baseline=weighed, **given, **options)
            assert torch.equal(results["advantage_alignment"], aligned)


def test_a_decorator_gives_an_algorithm_its_options() -> None:
    def plain(group: Any, options: Any) -> Any:
        return group.own

    assert credit.with_options(AlgorithmOptions)(plain) is plain
    assert plain.options is AlgorithmOptions  # type: ignore[attr-defined]


def test_every_algorithm_of_the_options_is_in_the_table() -> None:
    assert set(credit.ALGORITHMS) == set(ALGORITHMS)


# --- more than two players -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seat", range(3))
def test_alignment_adds_up_the_advantages_of_all_others(seat: int) -> None:
    """Of three players: the shaping weight is one's own, and what it multiplies is the sum of the two others' advantages."""
    rewards_of_all = torch.stack([*rewards(), rewards(seed=1)[0]], -1)  # (G, K, T, P)
    options = CreditOptions(beta=2.0, gamma=0.9, shaping="causal", first_round_bonus=0.05)
    actual = credit.ALGORITHMS["advantage_alignment"](credit.Group(rewards_of_all, seat), options)
    own = rewards_of_all[..., seat]
    apart = [rewards_of_all[..., other] for other in range(3) if other != seat]
    advantages = [credit.leave_one_out(credit.discounted_returns(player, 0.9)) for player in (own, *apart)]
    weights = credit.causal_weights(credit.leave_one_out(own), 0.9, 0.9) + 0.05 * 0.7 ** torch.arange(6)
    close(actual, advantages[0] + 2 * weights * (advantages[1] + advantages[2]))
