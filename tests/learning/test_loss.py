"""The loss against numbers worked out by hand, torch.distributions, finite differences, and the exact policy gradient.

tests/learning/test_mutations.py runs every test here that takes no argument on altered copies of the module, as ``loss``.
"""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch.distributions import Categorical, kl_divergence

from detente.learning import loss

torch.set_num_threads(1)

LOGITS = torch.tensor([[0.0, math.log(4), math.log(25)]])  # at temperature 2: probabilities 1/8, 2/8, 5/8
NO_THIRD = torch.tensor([[True, True, False]])


def close(actual: Any, expected: Any, **tolerance: Any) -> None:
    torch.testing.assert_close(actual, torch.as_tensor(expected, dtype=actual.dtype), **tolerance)


def normal(*shape: Any, seed: int = 0) -> Any:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def masked_case() -> Any:
    """Six tokens over seven words, of which each row forbids some."""
    targets = torch.tensor([0, 1, 2, 3, 4, 5])
    allowed = normal(6, 7, seed=1) > -0.3
    allowed[torch.arange(6), targets] = True
    return normal(6, 7).requires_grad_(), targets, allowed


# --- log-probabilities and entropy -----------------------------------------------------------------------------------------


def test_token_logprobs_by_hand() -> None:
    logprobs, entropy = loss.token_logprobs(LOGITS, torch.tensor([2]), temperature=2.0)
    close(logprobs, [-0.4700036])  # ln 5/8
    close(entropy, [0.9002561])  # ln 8 - (2 ln 2 + 5 ln 5) / 8
    logprobs, entropy = loss.token_logprobs(LOGITS, torch.tensor([1]), temperature=2.0, allowed=NO_THIRD)
    close(logprobs, [-0.4054651])  # ln 2/3
    close(entropy, [0.6365142])  # ln 3 - 2/3 ln 2


def test_temperature_is_one_unless_given() -> None:
    close(loss.token_logprobs(LOGITS, torch.tensor([0]))[0], [-3.4011974])  # -ln (1 + 4 + 25)
    hidden = LOGITS[:, :1]
    chunked = loss.chunked_token_logprobs(hidden, lambda h: h + LOGITS, torch.tensor([0]))
    close(chunked[0], [-3.4011974])


def test_an_entropy_without_gradient_is_the_same_number() -> None:
    logits, targets = torch.randn(5, 7, requires_grad=True), torch.arange(5)
    allowed = torch.rand(5, 7) > 0.3
    allowed[torch.arange(5), targets] = True
    with_gradient, without = (
        loss.token_logprobs(logits, targets, allowed=allowed, entropy_gradient=wanted) for wanted in (True, False)
    )
    assert with_gradient[1].requires_grad
    assert not without[1].requires_grad
    gradients = [torch.autograd.grad((logprobs - 0 * entropy).sum(), logits)[0] for logprobs, entropy in (with_gradient, without)]
    for one, other in zip((*with_gradient, gradients[0]), (*without, gradients[1]), strict=True):
        assert torch.equal(one, other)


def test_token_logprobs_equal_those_of_torch_distributions() -> None:
    logits, targets, allowed = masked_case()
    logprobs, entropy = loss.token_logprobs(logits, targets, temperature=0.7, allowed=allowed)
    for row in range(6):
        words = allowed[row].nonzero().squeeze(1)
        reference = Categorical(logits=logits[row, words] / 0.7)
        close(logprobs[row], reference.log_prob((words == targets[row]).nonzero()).squeeze())
        close(entropy[row], reference.entropy())


def test_leading_dimensions_are_free() -> None:
    logits, targets, allowed = masked_case()
    flat = loss.token_logprobs(logits, targets, allowed=allowed)
    shaped = loss.token_logprobs(logits.view(2, 3, 7), targets.view(2, 3), allowed=allowed.view(2, 3, 7))
    for one, other in zip(flat, shaped, strict=True):
        close(other, one.view(2, 3))


def test_low_precision_logits_are_computed_in_fp32() -> None:
    logprobs, entropy = loss.token_logprobs(torch.zeros(1, 1000, dtype=torch.bfloat16), torch.tensor([0]))
    assert logprobs.dtype == entropy.dtype == torch.float32
    close(logprobs, [-6.9077553])  # -ln 1000
    close(entropy, [6.9077553])


def test_a_target_that_is_not_allowed_has_probability_zero() -> None:
    assert loss.token_logprobs(LOGITS, torch.tensor([2]), allowed=NO_THIRD)[0].item() == -math.inf


def test_gradients_equal_finite_differences_with_a_mask() -> None:
    logits, targets, allowed = masked_case()
    assert torch.autograd.gradcheck(lambda x: loss.token_logprobs(x, targets, temperature=0.7, allowed=allowed), (logits,))


def test_forbidden_words_get_no_gradient_and_no_nan() -> None:
    logits, targets, allowed = masked_case()
    logprobs, entropy = loss.token_logprobs(logits, targets, allowed=allowed)
    (gradient,) = torch.autograd.grad(logprobs.sum() + entropy.sum(), logits)
    assert (gradient[~allowed] == 0).all()
    assert gradient.isfinite().all()
    assert (gradient[allowed] != 0).any()


def test_a_single_allowed_word_is_certain() -> None:
    logits = torch.zeros(1, 3, requires_grad=True)
    logprobs, entropy = loss.token_logprobs(logits, torch.tensor([1]), allowed=torch.tensor([[False, True, False]]))
    assert (logprobs.item(), entropy.item()) == (0.0, 0.0)
    (logprobs + entropy).sum().backward()
    assert torch.equal(logits.grad, torch.zeros(1, 3))  # type: ignore[arg-type]


def test_the_entropy_gradient_by_hand() -> None:
    # dH/dx_i = -p_i (ln p_i + H); p = 1/3, 2/3: -1/3 (-1.0986123 + 0.6365142) = 0.1540327, the opposite for the other
    logits = torch.tensor([[0.0, math.log(2), 9.0]], requires_grad=True)
    loss.token_logprobs(logits, torch.tensor([0]), allowed=NO_THIRD)[1].sum().backward()
    close(logits.grad, [[0.1540327, -0.1540327, 0.0]])


def test_chunks_equal_the_whole_in_values_and_gradients() -> None:
    _, targets, allowed = masked_case()
    weights, credits = normal(6, seed=3), normal(6, seed=4)
    results = []
    for chunk in (1, 4, 6, 100, None):
        hidden, head = normal(6, 5).requires_grad_(), normal(5, 7, seed=2).requires_grad_()
        if chunk is None:
            logprobs, entropy = loss.token_logprobs(hidden @ head, targets, temperature=0.7, allowed=allowed)
        else:
            logprobs, entropy = loss.chunked_token_logprobs(
                hidden,
                lambda h, head=head: h @ head,  # type: ignore[misc]
                targets,
                temperature=0.7,
                allowed=allowed.__getitem__,
                chunk=chunk,
            )
        gradients = torch.autograd.grad((logprobs * credits + entropy * weights).sum(), (hidden, head))
        results.append((logprobs, entropy, *gradients))
    for result in results[:-1]:
        for actual, expected in zip(result, results[-1], strict=True):
            close(actual, expected)


def test_chunks_need_no_mask() -> None:
    hidden, targets = normal(5, 7), torch.tensor([0, 1, 2, 3, 4])
    chunked = loss.chunked_token_logprobs(hidden, torch.tanh, targets, chunk=2)
    for actual, expected in zip(chunked, loss.token_logprobs(hidden.tanh(), targets), strict=True):
        close(actual, expected)


def test_no_more_logits_than_a_chunk_exist_and_none_are_kept() -> None:
    head = torch.nn.Linear(3, 50, bias=False)
    rows, kept = [], []

    def counted(hidden: Any) -> Any:
        rows.append(len(hidden))
        return head(hidden)

    hidden = torch.randn(10, 3, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(lambda saved: kept.append(saved.shape) or saved, lambda saved: saved):
        logprobs, entropy = loss.chunked_token_logprobs(hidden, counted, torch.zeros(10, dtype=torch.long), chunk=4)
    assert rows == [4, 4, 2]
    assert all(50 not in shape for shape in kept)
    (logprobs + entropy).sum().backward()
    assert rows[3:] == [2, 4, 4]


# --- the token loss ----------------------------------------------------------------------------------------------------------


def test_token_loss_by_hand() -> None:
    # token 1: pi 1/2, engine 1/4: rho 2, capped at 1.5; reference 1/4: exp(d) - 1 - d = 1/2 - 1 + ln 2 = 0.1931472; C 2
    # token 2: pi 1/5, engine 2/5: rho 1/2; reference 1/5: d = 0; C -1
    logprobs = torch.tensor([1 / 2, 1 / 5], dtype=torch.float64).log().requires_grad_()
    engine = torch.tensor([1 / 4, 2 / 5], dtype=torch.float64).log()
    reference = torch.tensor([1 / 4, 1 / 5], dtype=torch.float64).log()
    entropy = torch.tensor([0.7, 0.3], dtype=torch.float64, requires_grad=True)
    sums = loss.token_loss(
        logprobs,
        engine,
        reference,
        entropy,
        torch.tensor([2.0, -1.0], dtype=torch.float64),
        importance_cap=1.5,
        entropy_coefficient=0.1,
        kl_coefficient=0.5,
    )
    close(sums.entropy, 1.0)
    close(sums.kl, 0.2897208)  # 1.5 * 0.1931472
    close(sums.loss, 1.3195829)  # (1.5 * 2 * ln 2 - 0.5 * 1 * ln 5) - 0.1 + 0.5 * 0.2897208
    close(sums.ratio, 2.5)
    assert sums.capped == 1
    sums.loss.backward()
    close(logprobs.grad, [-2.625, 0.5])  # -1.5 * 2 + 0.5 * 1.5 * (1 - 1/2), 0.5 + 0.5 * 0.5 * (1 - 1)
    close(entropy.grad, [-0.1, -0.1])


def test_the_clipped_loss_of_a_later_step_by_hand() -> None:
    # ratios to the policy before the first step 3/2, 1/2, 3/2, 1/2, 11/10, clipped to [4/5, 6/5]
    old = torch.full((5,), 0.2, dtype=torch.float64).log()
    ratio = torch.tensor([1.5, 0.5, 1.5, 0.5, 1.1], dtype=torch.float64)
    credit = torch.tensor([2.0, 2.0, -2.0, -2.0, 1.0], dtype=torch.float64)
    engine = torch.tensor([0.2, 0.2, 0.2, 0.1, 0.05], dtype=torch.float64).log()  # pi_old / pi_engine 1, 1, 1, 2, 4; capped at 3
    logprobs = (old + ratio.log()).requires_grad_()
    given: dict[str, Any] = {"importance_cap": 3.0, "entropy_coefficient": 0.0, "kl_coefficient": 0.0, "old_logprobs": old}
    sums = loss.token_loss(logprobs, engine, None, torch.zeros(5, dtype=torch.float64), credit, **given)
    # gains min(3, 2.4), min(1, 1.6), min(-3, -2.4), 2 min(-1, -1.6), 3 min(1.1, 1.1)
    close(sums.loss, -(2.4 + 1.0 - 3.0 - 3.2 + 3.3))
    assert sums.clipped == 2
    sums.loss.backward()
    close(logprobs.grad, [0.0, -1.0, 3.0, 0.0, -3.3])  # minus ratio times credit times weight, and nothing where the clip holds
    wide = loss.token_loss(logprobs, engine, None, torch.zeros(5, dtype=torch.float64), credit, **given, clip_ratio=0.4)
    close(wide.loss, -(2.8 + 1.0 - 3.0 - 2.4 + 3.3))


def test_before_the_second_step_the_clipped_loss_has_the_gradient_of_the_first() -> None:
    logprobs = torch.tensor([0.5, 0.1, 0.9]).log().requires_grad_()
    engine, credit = torch.tensor([0.4, 0.3, 0.2]).log(), torch.tensor([1.0, -2.0, 3.0])
    gradients = []
    for old in (None, logprobs.detach()):
        sums = loss.token_loss(logprobs, engine, None, torch.zeros(3), credit, **options(cap=2.0), old_logprobs=old)
        gradients.append(torch.autograd.grad(sums.loss, logprobs)[0])
        assert sums.clipped == 0
    close(gradients[1], gradients[0])


def test_only_the_loss_has_a_gradient() -> None:
    logprobs = normal(3).requires_grad_()
    sums = loss.token_loss(logprobs, normal(3), normal(3), logprobs.exp(), normal(3), **options(entropy=1.0, kl=1.0))
    assert sums.loss.requires_grad
    assert not any(x.requires_grad for x in (sums.entropy, sums.kl, sums.ratio, sums.capped))


def options(cap: float = 2.0, entropy: float = 0.0, kl: float = 0.0) -> Any:
    return {"importance_cap": cap, "entropy_coefficient": entropy, "kl_coefficient": kl}


def test_on_policy_tokens_are_not_capped() -> None:
    logprobs = normal(4)
    sums = loss.token_loss(logprobs, logprobs, None, torch.zeros(4), torch.ones(4), **options(cap=1.0))
    assert (sums.capped, sums.ratio, sums.kl) == (0, 4, 0)  # type: ignore[comparison-overlap]
    close(sums.loss, -logprobs.sum())


def test_the_policy_term_is_the_exact_policy_gradient() -> None:
    # One token per word, sampled by a uniform engine: rho corrects the sampling exactly, so the mean of the loss has minus the
    # gradient of the expected credit sum_a pi(a) C(a), which needs no log-derivative trick to differentiate.
    logits, credits = normal(5).requires_grad_(), normal(5, seed=1)
    logprobs, _ = loss.token_logprobs(logits.expand(5, 5), torch.arange(5))
    engine = torch.full((5,), -math.log(5), dtype=torch.float64)
    sums = loss.token_loss(logprobs, engine, None, torch.zeros(5), credits, **options(cap=100.0))
    (actual,) = torch.autograd.grad(sums.loss / 5, logits)
    (expected,) = torch.autograd.grad((logits.softmax(0) * credits).sum(), logits)
    close(actual, -expected)


def test_gradients_of_every_term_equal_finite_differences() -> None:
    # Every ratio is above the cap, so the weight is constant for finite differences too.
    logits, targets, allowed = masked_case()
    credits, reference = normal(6, seed=5), normal(6, seed=6) - 2

    def total(logits: Any) -> Any:
        logprobs, entropy = loss.token_logprobs(logits, targets, temperature=0.7, allowed=allowed)
        engine = torch.full_like(logprobs, -50.0)
        return loss.token_loss(logprobs, engine, reference, entropy, credits, **options(cap=0.5, entropy=0.3, kl=0.2)).loss

    assert torch.autograd.gradcheck(total, (logits,))


def test_the_ratio_carries_no_gradient() -> None:
    logprobs = torch.tensor([-1.0], requires_grad=True)
    credits = torch.tensor([3.0])
    loss.token_loss(logprobs, torch.tensor([-1.5]), None, torch.zeros(1), credits, **options()).loss.backward()
    close(logprobs.grad, [-4.9461638])  # -3 exp(1/2): the weight is a number; differentiated, it would add log pi to this


def test_micro_batches_add_up() -> None:
    columns = normal(5, 6)
    whole = loss.token_loss(*columns, **options(entropy=0.1, kl=0.1))
    parts = [loss.token_loss(*columns[:, piece], **options(entropy=0.1, kl=0.1)) for piece in (slice(2), slice(2, 6))]
    for name in ("loss", "entropy", "kl", "ratio", "capped"):
        close(getattr(parts[0], name) + getattr(parts[1], name), getattr(whole, name))


def test_a_kl_term_without_reference_is_an_error() -> None:
    with pytest.raises(ValueError, match="reference policy"):
        loss.token_loss(normal(2), normal(2), None, normal(2), normal(2), **options(kl=0.1))


# --- divergences, critic -----------------------------------------------------------------------------------------------------


def test_k3_by_hand() -> None:
    close(loss.k3(torch.tensor([0.0, 1.0, -1.0, math.log(2)])), [0.0, 0.7182818, 0.3678794, 0.3068528])  # 0, e - 2, 1/e, 1 - ln 2


def test_k3_keeps_its_digits_where_the_policies_nearly_agree() -> None:
    close(loss.k3(torch.tensor([1e-3])), [5.001667e-7], rtol=1e-3, atol=0)  # x^2 / 2 + x^3 / 6; exp(x) - 1 - x in fp32 is 4.8e-7


def test_k3_is_an_unbiased_estimate_of_the_divergence() -> None:
    p, q = Categorical(logits=normal(6)), Categorical(logits=normal(6, seed=1))
    close((p.probs * loss.k3(q.logits - p.logits)).sum(), kl_divergence(p, q))


def test_mismatch_by_hand() -> None:
    # gaps ln 2, 0, -1: k3 = 1 - ln 2, 0, 1/e
    engine = torch.tensor([-1.0, -2.0, -0.5], requires_grad=True)
    sums = loss.mismatch(engine + torch.tensor([math.log(2), 0.0, -1.0]), engine)
    close(sums.kl, 0.6747323)
    close(sums.absolute, 1.6931472)
    close(sums.largest, 1.0)
    assert not sums.kl.requires_grad


def test_mismatch_estimates_the_divergence_of_the_learner_from_the_engine() -> None:
    engine, learner = Categorical(logits=normal(2, seed=2)), Categorical(logits=normal(2, seed=3))
    each = [loss.mismatch(learner.logits[i : i + 1], engine.logits[i : i + 1]).kl for i in range(2)]
    close(engine.probs[0] * each[0] + engine.probs[1] * each[1], kl_divergence(engine, learner))


def test_observation_loss_by_hand() -> None:
    # a token that three chats share and one of one chat: 3 * 0.5 + 2
    logprobs = torch.tensor([-0.5, -2.0], requires_grad=True)
    total = loss.observation_loss(logprobs, torch.tensor([3.0, 1.0]))
    close(total, 3.5)
    total.backward()
    close(logprobs.grad, [-3.0, -1.0])


def test_critic_loss_by_hand() -> None:
    # errors 1/2, -1, 3: 1/8 + 1/2 + 5/2; derivative 1/2, -1, 1
    values = torch.tensor([1.5, 1.0, 3.0], requires_grad=True)
    targets = torch.tensor([1.0, 2.0, 0.0], requires_grad=True)
    total = loss.critic_loss(values, targets)
    close(total, 3.125)
    total.backward()
    close(values.grad, [0.5, -1.0, 1.0])
    assert targets.grad is None
