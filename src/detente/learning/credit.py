"""From the rewards of a group of episodes to the credit of every round: what the tokens of round t are reinforced with.

    rewards (G, K, T) ── discounted_returns ── leave_one_out ──> advantages (G, K, T) ── an algorithm ──> credit (G, K, T)

G groups (same game seed, so the same T), K episodes in a group, T rounds; rewards are divided by the game's constant already.
``own`` belongs to the seat that trains, ``others`` is the sum over the other seats. Pure functions of any float dtype and
device, without state or gradient. docs/algorithms.md has the equations and where they come from. Imports torch and errors.py.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Literal

import torch
from torch import Tensor

from detente.errors import UserError, unknown

Baseline = Callable[[Tensor], Tensor]


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
) -> Tensor:
    """``C_t = A1_t + beta * W_t * A2_t`` (Duque et al., 2024; Piche et al., 2025): (G, K, T), (G, K, T) -> (G, K, T).

    ``shaping`` names the weight: ``returns`` (``returns_weights``, or ``just_in_time_weights``, of A1) or ``causal``
    (``causal_weights`` of the own rewards less their baseline, also where ``advantages`` are given). The weight is then changed by
    ``sign``, ``clip`` and ``divide_by_time`` in this order, and last ``first_round_bonus * first_round_decay^t`` is added.
    ``gamma_shaping`` None: gamma. Raises ValueError for an unknown shaping and for a causal weight just in time.
    """
    own_advantages, others_advantages = _advantages(own, others, gamma, baseline, advantages)
    gamma_shaping = gamma if gamma_shaping is None else gamma_shaping
    if shaping == "returns":
        weights = (just_in_time_weights if just_in_time else returns_weights)(own_advantages, gamma_shaping)
    elif shaping == "causal" and not just_in_time:
        weights = causal_weights(baseline(own), gamma, gamma_shaping)
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


ELSEWHERE = {"reward_divisor", "beta_final", "whiten", "gae_lambda"}  # options of credit that are used before or after an algorithm

ALGORITHMS: dict[str, Callable[..., Tensor]] = {
    "reinforce": reinforce,
    "sum_of_rewards": sum_of_rewards,
    "advantage_alignment": advantage_alignment,
}


def assign(algorithm: str, own: Tensor, others: Tensor, **options: object) -> Tensor:
    """The algorithm's credit; of the options, those that its signature names (all with ``**``): (G, K, T), (G, K, T) -> (G, K, T).

    So a new algorithm is one function and one line of ``ALGORITHMS``, and the caller hands over all options of a run. UserError
    for an option that neither an algorithm nor anything else about credit has.
    """
    known = ELSEWHERE.union(*map(option_names, ALGORITHMS))
    for key in options.keys() - known:
        raise unknown("option of an algorithm", key, known)
    function = ALGORITHMS[algorithm]
    takes_any = inspect.Parameter.VAR_KEYWORD in {parameter.kind for parameter in inspect.signature(function).parameters.values()}
    named = options.keys() if takes_any else option_names(algorithm)
    return function(own, others, **{key: value for key, value in options.items() if key in named})


def check_algorithm(algorithm: str, options: Iterable[str]) -> None:
    """UserError unless there is such an algorithm and every keyword of its signature is one of the ``options`` of a run."""
    if algorithm not in ALGORITHMS:
        raise UserError(f"The algorithm '{algorithm}' has no function in detente.learning.credit.ALGORITHMS.")
    known = {*options, "advantages"}
    for key in sorted(option_names(algorithm).difference(known)):
        raise UserError(f"The algorithm '{algorithm}' cannot be used. {unknown('option for its argument', key, known)}")


def option_names(algorithm: str) -> set[str]:
    """The options that an algorithm's signature names, after the two tensors of rewards."""
    kinds = inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD
    parameters = list(inspect.signature(ALGORITHMS[algorithm]).parameters.values())
    return {parameter.name for parameter in parameters[2:] if parameter.kind in kinds}


def whiten(credit: Tensor) -> Tensor:
    """Shifted and scaled to mean 0 and (population) standard deviation 1 over the whole tensor, whatever its shape.

    A deviation of the order of 1e-6 is rounding, not a signal, and is not blown up.
    """
    return (credit - credit.mean()) / (credit.std(correction=0) + 1e-6)


def annealed(start: float, final: float | None, progress: float) -> float:
    """Linear interpolation, ``progress`` from 0 (start) to 1 (final); final None: constant."""
    return start if final is None else start + (final - start) * progress


def _advantages(
    own: Tensor, others: Tensor, gamma: float, baseline: Baseline, given: tuple[Tensor, Tensor] | None
) -> tuple[Tensor, Tensor]:
    if given is not None:
        return given
    return baseline(discounted_returns(own, gamma)), baseline(discounted_returns(others, gamma))
