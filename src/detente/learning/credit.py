"""From the rewards of a group of episodes to the credit of every round: what the tokens of round t are reinforced with.

    rewards (G, K, T) ── discounted_returns ── leave_one_out ──> advantages (G, K, T) ── an algorithm ──> credit (G, K, T)

G groups (same game seed, same T), K episodes in a group, T rounds, P players; rewards are divided by the game's constant
already. ``own`` belongs to the seat that trains, ``others`` is the sum over the other seats. Pure functions of any float dtype and
device, without state or gradient. docs/algorithms.md has the equations and where they come from.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor

from detente.learning.branch_values import branch_advantages
from detente.learning.branch_values import tree_mean as tree_mean
from detente.options import AlgorithmOptions, AlignmentOptions

Baseline = Callable[[Tensor], Tensor]
Actions = tuple[tuple[tuple[tuple[Any, ...], ...], ...], ...]  # [group][episode][round][player]


@dataclass(frozen=True)
class Group:
    """What an algorithm sees: episodes that share a game seed (G times K of them), as one seat lived them.

    ``rewards`` (G, K, T, P) of all players, divided by ``credit.reward_divisor``; ``seat`` is the player that trains; ``values``
    (G, K, T) what a critic expects at the start of each round, None without one (``credit.baseline``, ``weight_baseline``).
    ``actions[g][k][t][p]`` is what player p decided in round t, a value such as JSON has; None where it decided nothing, a tuple
    where it decided several times. ``alternatives`` (G, K, T, A, D, P), with ``credit.baseline=branches``, are the rewards of what
    else could have come of the state before each round, from that round on, at most D rounds; zeros after the end.
    """

    rewards: Tensor
    seat: int
    values: Tensor | None = None
    actions: Actions = ()
    alternatives: Tensor | None = None

    @property
    def own(self) -> Tensor:
        """(G, K, T) the seat's rewards, contiguous: the order in memory decides the last bits of sums."""
        return self.rewards[..., self.seat].contiguous()

    @property
    def others(self) -> Tensor:
        """(G, K, T) the sum of the other players' rewards."""
        return self.rewards.sum(-1) - self.own


_Own = TypeVar("_Own", bound=AlgorithmOptions)
Algorithm = Callable[[Group, _Own], Tensor]  # the credit (G, K, T) of a group


def decayed_sums(values: Tensor, decay: float) -> Tensor:
    """``D_t = sum_{k<=t} decay^(t-k) x_k`` by ``D_t = x_t + decay * D_{t-1}``, which no length overflows: (..., T) -> (..., T)."""
    sums = values.clone()
    for t in range(1, values.shape[-1]):
        sums[..., t] += decay * sums[..., t - 1]
    return sums


def discounted_returns(rewards: Tensor, gamma: float) -> Tensor:
    """``R_t = sum_{l>=t} gamma^(l-t) r_l``, nothing bootstrapped at the end: (..., T) -> (..., T)."""
    return decayed_sums(rewards.flip(-1), gamma).flip(-1)


def leave_one_out(returns: Tensor) -> Tensor:
    """Own value minus the mean over the other K - 1 episodes of the group: (G, K, T) -> (G, K, T).

    The baseline does not depend on the episode's own actions, so it leaves the policy gradient unbiased (Kool et al., 2019).
    Raises ValueError for K = 1.
    """
    episodes = returns.shape[-2]
    if episodes == 1:
        raise ValueError("The leave-one-out baseline needs at least 2 episodes in a group.")
    return returns - (returns.sum(-2, keepdim=True) - returns) / (episodes - 1)


def no_baseline(returns: Tensor) -> Tensor:
    """The values as they are."""
    return returns


def generalized_advantages(rewards: Tensor, values: Tensor, gamma: float, lam: float) -> Tensor:
    """GAE (Schulman et al., 2016): (..., T) rewards and (..., T + 1) values -> (..., T).

    ``A_t = sum_{l>=t} (gamma lam)^(l-t) delta_l`` with ``delta_l = r_l + gamma V_{l+1} - V_l``; the last value is that of the
    state after the last round, 0 where the episode ended.
    """
    deltas = rewards + gamma * values[..., 1:] - values[..., :-1]
    return discounted_returns(deltas, gamma * lam)


def critic_advantages(rewards: Tensor, values: Tensor, gamma: float, lam: float) -> Tensor:
    """Generalized advantages with a critic's values of every round, nothing following the last: (..., T), (..., T) -> (..., T)."""
    end = torch.zeros_like(values[..., :1])
    return generalized_advantages(rewards, torch.cat([values, end], -1), gamma, lam)


def returns_weights(advantages: Tensor, gamma: float) -> Tensor:
    """The paper's shaping weight ``W_t = gamma * sum_{k<t} gamma^(t-k) A_k``, ``W_0 = 0``: (..., T) -> (..., T)."""
    weights = torch.zeros_like(advantages)
    weights[..., 1:] = gamma**2 * decayed_sums(advantages, gamma)[..., :-1]
    return weights


def just_in_time_weights(advantages: Tensor, gamma: float) -> Tensor:
    """``W_t = sum_{k<=t} gamma^(t-k) A_k``: the present advantage counts too: (..., T) -> (..., T)."""
    return decayed_sums(advantages, gamma)


def causal_weights(rewards: Tensor, gamma: float, gamma_shaping: float) -> Tensor:
    """How the seat has been treated so far, from the rewards received before round t alone: (..., T) -> (..., T).

    ``W_t = gamma_a * sum_{k<t} gamma_a^(t-k) P_k`` with ``P_k = sum_{l=k}^{t-1} gamma^(l-k) r_l``. Pass rewards with the baseline
    already subtracted: the weight is linear in them, so ``causal_weights(leave_one_out(rewards), ...)`` is the weight of P_k minus
    its mean over the other episodes of the group. Collecting what multiplies r_l gives ``gamma_a^(t-l) * sum_{j<=l} (gamma
    gamma_a)^j``: a factor that depends on l alone, and the sum of ``returns_weights``.
    """
    traces = decayed_sums(torch.ones_like(rewards), gamma * gamma_shaping)
    return returns_weights(traces * rewards, gamma_shaping)


def reinforce(
    own: Tensor,
    others: Tensor,
    *,
    gamma: float,
    baseline: Baseline = leave_one_out,
    advantages: tuple[Tensor, Tensor] | None = None,
) -> Tensor:
    """The ordinary learner, ``C_t = A1_t``: rewards (G, K, T), (G, K, T) -> credit (G, K, T).

    ``advantages`` are the own and the others' advantages where they come from elsewhere, a critic for instance; None makes them
    from the rewards: ``baseline(discounted_returns(...))``. The other algorithms take the same arguments.
    """
    return _advantages(own, others, gamma, baseline, advantages)[0]


def sum_of_rewards(
    own: Tensor,
    others: Tensor,
    *,
    gamma: float,
    baseline: Baseline = leave_one_out,
    advantages: tuple[Tensor, Tensor] | None = None,
) -> Tensor:
    """The cooperative learner, ``C_t = A1_t + A2_t``: rewards (G, K, T), (G, K, T) -> credit (G, K, T)."""
    own_advantages, others_advantages = _advantages(own, others, gamma, baseline, advantages)
    return own_advantages + others_advantages


def advantage_alignment(
    own: Tensor,
    others: Tensor,
    *,
    beta: float,
    gamma: float,
    gamma_shaping: float | None = None,
    shaping: Literal["returns", "causal"] = "returns",
    just_in_time: bool = False,
    sign: bool = False,
    clip: float | None = None,
    divide_by_time: bool = False,
    first_round_bonus: float = 0.0,
    first_round_decay: float = 0.7,
    baseline: Baseline = leave_one_out,
    advantages: tuple[Tensor, Tensor] | None = None,
    weight_baseline: Baseline | None = None,
    weight_values: Tensor | None = None,
    weight_lambda: float = 0.0,
) -> Tensor:
    """``C_t = A1_t + beta * W_t * A2_t`` (Duque et al., 2024; Piche et al., 2025): (G, K, T), (G, K, T) -> (G, K, T).

    ``shaping`` names the weight: ``returns`` (``returns_weights``, or ``just_in_time_weights``, of A1) or ``causal``
    (``causal_weights`` of the own rewards less their baseline, also where ``advantages`` are given). Inside the weight alone,
    ``weight_baseline`` takes the place of the baseline, or a critic's ``weight_values`` (G, K, T) do, with ``weight_lambda``. The
    weight is then changed by ``sign``, ``clip`` and ``divide_by_time`` in this order, and last ``first_round_bonus *
    first_round_decay^t`` is added. ``gamma_shaping`` None: gamma. Raises ValueError for an unknown shaping and for a causal weight
    just in time.
    """
    own_advantages, others_advantages = _advantages(own, others, gamma, baseline, advantages)
    gamma_shaping = gamma if gamma_shaping is None else gamma_shaping
    if shaping == "returns":
        past = own_advantages
        if weight_values is not None:
            past = critic_advantages(own, weight_values, gamma, weight_lambda)
        elif weight_baseline is not None:
            past = weight_baseline(discounted_returns(own, gamma))
        weights = (just_in_time_weights if just_in_time else returns_weights)(past, gamma_shaping)
    elif shaping == "causal" and not just_in_time and weight_values is not None:
        weights = causal_weights(critic_advantages(own, weight_values, gamma, 0), gamma * weight_lambda, gamma_shaping)
    elif shaping == "causal" and not just_in_time:
        weights = causal_weights((weight_baseline or baseline)(own), gamma, gamma_shaping)
    else:
        raise ValueError(f"Shaping is 'returns' or 'causal', and just in time only with 'returns'; got '{shaping}'.")
    rounds = torch.arange(own.shape[-1], dtype=own.dtype, device=own.device)
    if sign:
        weights = weights.sign()
    if clip is not None:
        weights = weights.clamp(-clip, clip)
    if divide_by_time:
        weights = weights / (rounds + 1)
    weights = weights + first_round_bonus * first_round_decay**rounds
    return own_advantages + beta * weights * others_advantages


def advantages_of(
    rewards: Tensor, options: AlgorithmOptions, values: Tensor | None = None, alternatives: Tensor | None = None
) -> Tensor:
    """Discounted returns less the baseline that the options name: (G, K, T) -> (G, K, T).

    With a critic's ``values`` (G, K, T) of these rewards, their generalized advantages, nothing following the last round. The
    baseline ``branches`` needs the same rewards in the ``alternatives`` (G, K, T, A, D), else ValueError.
    """
    if options.baseline == "branches":
        if alternatives is None:
            raise ValueError("credit.baseline=branches needs the alternatives of the group")
        return branch_advantages(rewards, alternatives, options.gamma)
    if values is None:
        return _baseline(options)(discounted_returns(rewards, options.gamma))
    return critic_advantages(rewards, values, options.gamma, options.gae_lambda)


def with_options(options: type[_Own]) -> Callable[[Algorithm[_Own]], Algorithm[_Own]]:
    """A decorator that gives an algorithm options of its own, ``@with_options(Inequity)``; others are told the ``credit``."""

    def mark(algorithm: Algorithm[_Own]) -> Algorithm[_Own]:
        setattr(algorithm, OPTIONS, options)
        return algorithm

    return mark


WEIGHT = AlignmentOptions.model_fields.keys() - AlgorithmOptions.model_fields.keys() - {"beta_final", "weight_baseline"}
OPTIONS = "options"  # the attribute of an algorithm that holds the class of its options


def _baseline(options: AlgorithmOptions) -> Baseline:
    return no_baseline if options.baseline == "none" else leave_one_out


def _both_advantages(group: Group, options: AlgorithmOptions) -> dict[str, Any]:
    """The arguments that every algorithm takes."""
    otherwise = None if group.alternatives is None else replace(group, rewards=group.alternatives)
    ours, theirs = (otherwise.own, otherwise.others) if otherwise else (None, None)
    own = advantages_of(group.own, options, group.values if options.baseline == "critic" else None, ours)
    others = advantages_of(group.others, options, None, theirs)
    return {"gamma": options.gamma, "baseline": _baseline(options), "advantages": (own, others)}


def _reinforce(group: Group, options: AlgorithmOptions) -> Tensor:
    return reinforce(group.own, group.others, **_both_advantages(group, options))


def _sum_of_rewards(group: Group, options: AlgorithmOptions) -> Tensor:
    return sum_of_rewards(group.own, group.others, **_both_advantages(group, options))


def _advantage_alignment(group: Group, options: AlignmentOptions) -> Tensor:
    weight: dict[str, Any] = {
        "weight_baseline": _weight_baseline(options),
        "weight_values": group.values if options.weight_baseline == "critic" else None,
        **{name: getattr(options, name) for name in WEIGHT},
    }
    return advantage_alignment(group.own, group.others, **weight, **_both_advantages(group, options))


def _weight_baseline(options: AlignmentOptions) -> Baseline | None:
    """What the options ask for inside the weight; None: what the credit has."""
    asked = "group" if options.weight_baseline is None and options.baseline == "none" else options.weight_baseline
    return {"group": leave_one_out, "none": no_baseline}.get(asked or "")


ALGORITHMS: dict[str, Algorithm[Any]] = {
    "reinforce": _reinforce,
    "sum_of_rewards": _sum_of_rewards,
    "advantage_alignment": _advantage_alignment,
}


def whiten(credit: Tensor) -> Tensor:
    """Shifted and scaled to mean 0 and (population) standard deviation 1 over the whole tensor, whatever its shape.

    A deviation of the order of 1e-6 is rounding, not a signal, and is not blown up.
    """
    return (credit - credit.mean()) / (credit.std(correction=0) + 1e-6)


def _advantages(
    own: Tensor, others: Tensor, gamma: float, baseline: Baseline, given: tuple[Tensor, Tensor] | None
) -> tuple[Tensor, Tensor]:
    if given is not None:
        return given
    return baseline(discounted_returns(own, gamma)), baseline(discounted_returns(others, gamma))
