"""From logits and credit to the loss of the generated tokens.

    hidden ── head, mask, temperature ──> log-probabilities, entropy (N,) ── credit, engine, reference ──> LossSums
    hidden ── head ──> log-probabilities (P,) of what was observed ──> cross-entropy

N generated tokens, V words in the vocabulary. Everything is a sum over tokens, so that micro-batches add up; the caller
divides by the number of generated tokens in the whole batch. docs/algorithms.md has the equations and where they come from.
Imports torch alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint


@dataclass(frozen=True, slots=True)
class LossSums:
    """Sums over tokens, scalars. ``loss`` has the gradient: policy term - entropy_coefficient * entropy + kl_coefficient * kl.

    The others are detached. ``kl`` is weighted by the capped ratio as in the loss; ``ratio`` is pi / pi_engine before the cap
    and ``capped`` counts the tokens above it; ``clipped`` counts those whose policy term is held by the clip and has no gradient.
    """

    loss: Tensor
    entropy: Tensor
    kl: Tensor
    ratio: Tensor
    capped: Tensor
    clipped: Tensor


@dataclass(frozen=True, slots=True)
class Mismatch:
    """How far the learner's log-probabilities are from the engine's: sums over tokens, and the largest gap. Scalars, detached."""

    kl: Tensor
    absolute: Tensor
    largest: Tensor


def token_logprobs(
    logits: Tensor,
    targets: Tensor,
    *,
    temperature: float = 1.0,
    allowed: Tensor | None = None,
    entropy_gradient: bool = True,
) -> tuple[Tensor, Tensor]:
    """Log-probability of each target and entropy of its distribution, in nats: (..., V), (...) -> (...), (...).

    The distribution is the one that was sampled from: softmax of logits / temperature over the ``allowed`` words (..., V) bool
    (None: all), in fp32 at least. A target that is not allowed has log-probability -inf; every row must allow a word.
    Without ``entropy_gradient`` the entropy is a number alone, and costs the backward pass nothing.
    """
    scaled = logits.to(torch.promote_types(logits.dtype, torch.float32)) / temperature
    if allowed is not None:
        scaled = scaled.masked_fill(~allowed, -torch.inf)
    logprobs = F.log_softmax(scaled, dim=-1)
    # p log p is 0 where p is 0, but 0 * -inf would be NaN, in the value and in the gradient.
    weighed = logprobs if entropy_gradient else logprobs.detach()
    finite = weighed.masked_fill(weighed.isneginf(), 0.0)
    entropy = -(weighed.exp() * finite).sum(-1)
    return logprobs.gather(-1, targets.unsqueeze(-1)).squeeze(-1), entropy


def chunked_token_logprobs(
    hidden: Tensor,
    head: Callable[[Tensor], Tensor],
    targets: Tensor,
    *,
    temperature: float = 1.0,
    allowed: Callable[[slice], Tensor] | None = None,
    chunk: int = 1024,
    entropy_gradient: bool = True,
) -> tuple[Tensor, Tensor]:
    """``token_logprobs(head(hidden), ...)`` with at most chunk x V logits at a time: (N, D), (N,) -> (N,), (N,).

    ``head`` maps (n, D) to (n, V) and must be deterministic: the backward pass computes each chunk's logits again instead of
    keeping them. ``allowed`` gives the masks (n, V) of a slice of the N tokens, also twice.
    """

    def logprobs_of(piece: slice, hidden: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        mask = None if allowed is None else allowed(piece)
        return token_logprobs(head(hidden), targets, temperature=temperature, allowed=mask, entropy_gradient=entropy_gradient)

    pieces = [slice(start, start + chunk) for start in range(0, len(targets), chunk)]
    results = [
        checkpoint(logprobs_of, piece, hidden[piece], targets[piece], use_reentrant=False, preserve_rng_state=False)
        for piece in pieces
    ]
    logprobs, entropy = (torch.cat(column) for column in zip(*results, strict=True))
    return logprobs, entropy


def k3(log_ratio: Tensor) -> Tensor:
    """``exp(x) - 1 - x`` with x = log q / p on samples of p: a non-negative, unbiased estimate of KL(p || q), elementwise.

    Schulman, "Approximating KL Divergence" (2020). expm1 keeps the digits where p and q nearly agree.
    """
    return torch.expm1(log_ratio) - log_ratio


def token_loss(
    logprobs: Tensor,
    engine_logprobs: Tensor,
    reference_logprobs: Tensor | None,
    entropy: Tensor,
    credit: Tensor,
    *,
    importance_cap: float,
    entropy_coefficient: float,
    kl_coefficient: float,
    old_logprobs: Tensor | None = None,
    clip_ratio: float = 0.2,
) -> LossSums:
    """``-min(rho, cap) C log pi - c_H entropy + c_KL min(rho, cap) (exp(d) - d - 1)`` summed over tokens; arguments (N,).

    ``rho = pi / pi_engine`` carries no gradient (truncated importance sampling, Ionides 2008); ``d = log pi_ref - log pi`` carries
    that of log pi. ``reference_logprobs`` None: no KL term, and its coefficient must be 0 (ValueError).

    ``old_logprobs`` are those before the first of several steps on the same tokens. From the second step on they turn the policy
    term into ``-min(pi_old / pi_engine, cap) min(r C, clip(r, 1 - clip_ratio, 1 + clip_ratio) C)`` with ``r = pi / pi_old``
    (Schulman et al., 2017), whose gradient at pi = pi_old is that of the first step.
    """
    if reference_logprobs is None and kl_coefficient != 0:
        raise ValueError("A KL coefficient other than 0 needs the log-probabilities of the reference policy.")
    ratio = (logprobs.detach() - engine_logprobs).exp()
    weight = ratio.clamp(max=importance_cap)
    clipped = torch.zeros_like(weight)
    if old_logprobs is None:
        policy = -(weight * credit * logprobs).sum()
    else:
        gain, clipped = clipped_gain((logprobs - old_logprobs).exp(), credit, clip_ratio)
        policy = -((old_logprobs - engine_logprobs).exp().clamp(max=importance_cap) * gain).sum()
    kl = logprobs.new_zeros(()) if reference_logprobs is None else (weight * k3(reference_logprobs - logprobs)).sum()
    entropy = entropy.sum()
    return LossSums(
        loss=policy - entropy_coefficient * entropy + kl_coefficient * kl,
        entropy=entropy.detach(),
        kl=kl.detach(),
        ratio=ratio.sum(),
        capped=(ratio > importance_cap).sum(),
        clipped=clipped.sum(),
    )


def clipped_gain(ratio: Tensor, credit: Tensor, clip_ratio: float) -> tuple[Tensor, Tensor]:
    """``min(r C, clip(r, 1 - c, 1 + c) C)`` of each token, and whether the clip holds it (bool): (N,), (N,) -> (N,), (N,)."""
    free, bounded = ratio * credit, ratio.clamp(1 - clip_ratio, 1 + clip_ratio) * credit
    return torch.minimum(free, bounded), bounded < free


def observation_loss(logprobs: Tensor, counts: Tensor) -> Tensor:
    """Cross-entropy in nats, summed over the chats that have each token: ``-sum count log pi``; (P,), (P,) -> scalar.

    Predicting the next observation is the auxiliary loss of Ndousse, Eck, Levine and Jaques, "Emergent Social Learning via
    Multi-agent Reinforcement Learning" (2021), there for images.
    """
    return -(counts * logprobs).sum()


def critic_loss(values: Tensor, targets: Tensor) -> Tensor:
    """Huber loss (Huber, 1964), summed: ``e^2 / 2`` where ``|e| <= 1``, else ``|e| - 1/2``; (N,), (N,) -> scalar.

    The targets carry no gradient.
    """
    return F.huber_loss(values, targets.detach(), reduction="sum", delta=1.0)


@torch.no_grad()
def mismatch(logprobs: Tensor, engine_logprobs: Tensor) -> Mismatch:
    """Learner (N,) against engine (N,) on the tokens that the engine sampled; ``kl`` sums k3 of KL(engine || learner)."""
    gap = logprobs - engine_logprobs
    return Mismatch(kl=k3(gap).sum(), absolute=gap.abs().sum(), largest=gap.abs().max())
