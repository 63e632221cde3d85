"""The learner against gradients and log-probabilities computed plainly: whole chats, one at a time, no batch, no cache."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from detente.learning import credit, forward
from detente.learning import learner as module
from detente.learning.forward import active, adapter_parameters
from detente.learning.micro_batches import micro_batches
from detente.records import PolicyRef

CAP = 2.0


def sgd(learner: Any, lr: float = 1.0) -> None:
    """Replace Adam, so that an update moves the weights by the gradient itself."""
    parameters = [p for group in learner.optimizer.param_groups for p in group["params"]]
    learner.optimizer = torch.optim.SGD(parameters, lr=lr)


def moved(learner: Any, found: Any, progress: float = 0.0) -> Any:
    """How far one update moves each tensor of the adapter."""
    before = [p.detach().clone() for p in learner.parameters]
    learner.update(found, progress)
    return [p.detach() - old for p, old in zip(learner.parameters, before, strict=True)]


OPEN = {"lr": 1.0, "max_grad_norm": 1e9}  # with sgd: the step is minus the gradient


@pytest.fixture
def no_last_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """Updates do not try the new weights on a few tokens, for tests that count what an update computes."""
    monkeypatch.setattr(module.Learner, "_scores_finite", lambda *_: True)


# ---- gradient of the loss


def plain_loss(run: Any, model: Any, reference: Any, found: Any, ratios: Any = None) -> Any:
    """The loss (docs/algorithms.md) from plain forwards of whole chats, and the importance ratios (kept fixed if given)."""
    options, temperature = run.learners["main"].options, run.config.answer.temperature
    total = 0.0
    all_ratios: list[Any] = []
    returns = {}
    for i, one in enumerate(found):
        returns[i] = [
            sum(options.credit.gamma ** (k - t) * one.own[k] for k in range(t, len(one.own))) for t in range(len(one.own))
        ]
    for i, one in enumerate(found):
        members = [j for j, other in enumerate(found) if (other.group, other.seat) == (one.group, one.seat) and j != i]
        distributions = []
        for which in (model, reference):
            rows = which(torch.from_numpy(one.tokens)[None]).logits[0, one.drawn - 1] / temperature
            for row, packed in zip(rows, one.allowed, strict=True):
                bits = [(int(packed[word // 8]) >> word % 8) & 1 for word in range(rows.shape[1])]
                row.data[~torch.tensor(bits, dtype=torch.bool)] = -torch.inf
            distributions.append(rows.log_softmax(-1))
        for n, (position, t) in enumerate(zip(one.drawn, one.rounds, strict=True)):
            credit = float(returns[i][t] - sum(returns[j][t] for j in members) / len(members))
            target = int(one.tokens[position])
            logprob, base = distributions[0][n, target], distributions[1][n, target].detach()
            possible = distributions[0][n][distributions[0][n].isfinite()]
            entropy = -(possible.exp() * possible).sum()
            ratio = float((logprob.detach() - one.logprobs[n]).exp()) if ratios is None else ratios[len(all_ratios)]
            all_ratios.append(ratio)
            weight, d = min(ratio, CAP), base - logprob
            total = total - weight * credit * logprob - options.loss.entropy * entropy
            total = total + options.loss.kl * weight * (d.exp() - d - 1)
    return total / sum(one.generated for one in found), all_ratios


def norm(self: Any, hidden: Any) -> Any:
    """LlamaRMSNorm without its detour through float32, which would drown differences."""
    return self.weight * hidden * (hidden.pow(2).mean(-1, keepdim=True) + self.variance_epsilon).rsqrt()


def test_an_update_is_the_finite_difference_of_the_loss(open_run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transformers.models.llama.modeling_llama.LlamaRMSNorm, "forward", norm)
    run = open_run(
        loss={"entropy": 0.3, "kl": 0.2},
        credit={"reward_divisor": 5, "gamma": 0.8},
        optimizer=OPEN,
        answer={"temperature": 0.7, "max_tokens": 4},
        game={"name": "ipd", "rounds": 2},
    ).shake()
    found = run.trajectories(run.play())
    # as if the engine had been off: ratios from 0.6 to 3.3, some of them above the cap
    shifts = torch.linspace(-0.5, 1.2, len(found)).tolist()
    found = [replace(one, logprobs=one.logprobs - shift) for one, shift in zip(found, shifts, strict=True)]
    run.model.double()
    learner = run.learners["main"]
    trained, reference = copy.deepcopy(run.model), copy.deepcopy(run.model).unload()
    trained.set_adapter("main")
    sgd(learner)
    steps = moved(learner, found)
    tensors = adapter_parameters(trained, "main")
    with torch.no_grad():
        _, ratios = plain_loss(run, trained, reference, found)
        assert min(ratios) < 0.7
        assert max(ratios) > CAP
        checked = 0
        for i in range(0, len(tensors), 7):  # A and B of every kind of layer
            entry = int(steps[i].abs().argmax())
            losses = []
            for sign in (1, -1):
                tensors[i].view(-1)[entry] += sign * 1e-5
                losses.append(float(plain_loss(run, trained, reference, found, ratios)[0]))
                tensors[i].view(-1)[entry] -= sign * 1e-5
            slope = (losses[0] - losses[1]) / 2e-5
            assert abs(slope) > 1e-6
            assert -float(steps[i].view(-1)[entry]) == pytest.approx(slope, rel=1e-5)
            checked += 1
    assert checked > 5


# ---- what a player is told


def told_errors(model: Any, episode: Any, seat: int) -> Any:
    """Cross-entropy (P,) of all prompt tokens of a seat but those of its first turn, from a plain forward of its whole chat."""
    tokens: list[int] = []
    told: list[int] = []
    for turn in episode.turns(seat):
        if tokens:
            told += range(len(tokens), len(tokens) + len(turn.completion.prompt_tokens))
        tokens += [*turn.completion.prompt_tokens, *turn.completion.tokens]
    rows = model(torch.tensor(tokens)[None]).logits[0, [i - 1 for i in told]].log_softmax(-1)
    return -rows.gather(-1, torch.tensor([tokens[i] for i in told])[:, None])[:, 0]


def gradients(learner: Any, found: Any) -> list[Any]:
    assert learner.gradients(found, 0.0)
    return [parameter.grad.clone() for parameter in learner.parameters]


@pytest.mark.parametrize("vocabulary", ["whole", "in tiles"])
def test_what_is_told_has_the_gradient_of_its_cross_entropy(
    open_run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, vocabulary: str
) -> None:
    """Whatever temperature and grammar are, in one pass, in many after a stem, and with layers that are computed again."""
    if vocabulary == "in tiles":
        monkeypatch.setattr(forward, "WHOLE", 0)
    monkeypatch.setattr(transformers.models.llama.modeling_llama.LlamaRMSNorm, "forward", norm)
    for limit, again in ((1_000_000, False), (1_000_000, True), (1, False)):
        optimizer = OPEN | {"micro_batch_tokens": limit, "gradient_checkpointing": again}
        run = open_run(loss={"observation": 0.7}, optimizer=optimizer, answer={"temperature": 0.5}).shake()
        episodes = run.play()
        found = [replace(one, rewards=0 * one.rewards) for one in run.trajectories(episodes)]  # nothing but what was told
        assert any(len(m.stem) for m in micro_batches(found, limit, run.learners["main"].device)) == (limit == 1)
        run.model.double()
        plain = copy.deepcopy(run.model)
        plain.set_adapter("main")
        ours = gradients(run.learners["main"], found)
        errors = torch.cat([told_errors(plain, episode, seat) for episode in episodes for seat in (0, 1)])
        mean = float(errors.detach().mean())
        assert len(errors) == sum(len(one.observed) for one in found)
        theirs = torch.autograd.grad(0.7 * errors.mean(), adapter_parameters(plain, "main"))
        assert max(float(gradient.abs().max()) for gradient in theirs) > 1e-4
        for one, other in zip(ours, theirs, strict=True):
            torch.testing.assert_close(one, other, atol=1e-9, rtol=1e-6)
        metrics = run.learners["main"].update(found, 0.0)
        assert metrics["observation_loss/main"] == pytest.approx(mean, rel=1e-6)
        assert metrics["loss/main"] == pytest.approx(0.7 * mean, rel=1e-6)


def test_the_gradient_of_what_is_told_is_a_finite_difference(open_run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transformers.models.llama.modeling_llama.LlamaRMSNorm, "forward", norm)
    run = open_run(loss={"observation": 1.0}, game={"name": "ipd", "rounds": 2}, episodes=2, group_size=2).shake()
    found = [replace(one, rewards=0 * one.rewards) for one in run.trajectories(run.play())]
    run.model.double()
    learner = run.learners["main"]
    slopes = gradients(learner, found)
    with torch.no_grad():
        for i in (0, len(slopes) // 2, len(slopes) - 1):
            entry = int(slopes[i].abs().argmax())
            sums = []
            for sign in (1, -1):
                learner.parameters[i].view(-1)[entry] += sign * 1e-5
                with torch.enable_grad():
                    sums.append(learner.gradients(found, 0.0).sums["observation_loss"])
                learner.parameters[i].view(-1)[entry] -= sign * 1e-5
            assert float(slopes[i].view(-1)[entry]) == pytest.approx((sums[0] - sums[1]) / 2e-5, rel=1e-5)


def test_rules_have_no_gradient(open_run: Callable[..., Any]) -> None:
    """Where every player answers once, all that it was told came first."""
    ours = []
    for weight in (0.0, 5.0):
        run = open_run(loss={"observation": weight}, game={"name": "ipd", "rounds": 1}).shake()
        found = run.trajectories(run.play())
        ours.append(gradients(run.learners["main"], found))
        assert "observation_loss/main" not in run.learners["main"].update(found, 0.0)
    assert all(torch.equal(one, other) for one, other in zip(*ours, strict=True))


def test_at_zero_nothing_of_what_is_told_is_computed(open_run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """The update is that of an adapter without the option, bit for bit."""
    monkeypatch.setattr(forward.Forward, "observed_logprobs", None)
    ends = []
    for loss in ({}, {"observation": 0.0}):
        run = open_run(loss=loss, optimizer={"micro_batch_tokens": 200}).shake()
        found = run.trajectories(run.play())
        if not loss:
            found = [replace(one, observed=one.observed[:0]) for one in found]
        metrics = run.learners["main"].update(found, 0.0)
        ends.append((metrics, [p.detach().clone() for p in run.learners["main"].parameters]))
    assert ends[0][0] == ends[1][0]
    assert all(torch.equal(one, other) for one, other in zip(ends[0][1], ends[1][1], strict=True))


def test_micro_batches_add_up_to_the_whole_batch(open_run: Callable[..., Any]) -> None:
    """Chats of different lengths, so that micro-batches pad differently."""
    options: dict[str, Any] = {"loss": {"entropy": 0.1, "kl": 0.1}, "game": {"name": "ipd", "continuation": 0.6, "max_rounds": 6}}
    steps = []
    for limit in (1_000_000, 200, 1):
        run = open_run(**options, optimizer=OPEN | {"micro_batch_tokens": limit}, episodes=8, group_size=4).shake()
        found = run.trajectories(run.play())
        assert len({len(one.tokens) for one in found}) > 1
        sgd(run.learners["main"])
        steps.append(moved(run.learners["main"], found))
    largest = max(float(step.abs().max()) for step in steps[0])
    assert largest > 1e-3
    for other in steps[1:]:
        for one, two in zip(steps[0], other, strict=True):
            torch.testing.assert_close(one, two, atol=1e-6 * largest + 1e-8, rtol=1e-4)


@pytest.mark.parametrize("limit", [1_000_000, 1])
@pytest.mark.usefixtures("no_last_look")
def test_checkpointing_recomputes_layers_and_changes_no_gradient(open_run: Callable[..., Any], limit: int) -> None:
    steps, forwards = [], []
    for checkpointing in (False, True):
        optimizer = OPEN | {"gradient_checkpointing": checkpointing, "micro_batch_tokens": limit}
        run = open_run(optimizer=optimizer, loss={"kl": 0.1}).shake()
        found = run.trajectories(run.play())
        assert any(len(micro.stem) for micro in micro_batches(found, limit, run.learners["main"].device)) == (limit == 1)
        calls: Any = []
        for layer in run.model.get_base_model().get_decoder().layers:
            layer.mlp.register_forward_pre_hook(lambda *_, calls=calls: calls.append(1))
        sgd(run.learners["main"])
        steps.append(moved(run.learners["main"], found))
        forwards.append(len(calls))
        assert not any(m.training for m in run.model.modules())
    passes = forwards[1] // 9  # three layers: reference, and policy twice
    always = 9 if limit == 1 else 6  # chats longer than a micro-batch may be keep nothing, whatever the option says
    assert forwards == [always * passes, 9 * passes]
    assert (passes > 1) == (limit == 1)
    for plain, checkpointed in zip(*steps, strict=True):
        torch.testing.assert_close(plain, checkpointed)


@pytest.mark.usefixtures("no_last_look")
def test_a_chat_that_is_longer_than_a_micro_batch_keeps_little(open_run: Callable[..., Any]) -> None:
    """And has the gradient that it has when everything is kept."""
    held, steps = [], []
    for limit in (1_000_000, 8):
        run = open_run(optimizer=OPEN | {"micro_batch_tokens": limit}).shake()
        found = run.trajectories(run.play())
        assert all(len(chat.tokens) > 8 for chat in found)
        kept: list[int] = []

        def noted(saved: Any, kept: list[int] = kept) -> Any:
            kept.append(saved.nbytes)
            return saved

        with torch.autograd.graph.saved_tensors_hooks(noted, lambda saved: saved):
            run.learners["main"].gradients(found, 0.0)
        held.append(sum(kept))
        steps.append([parameter.grad for parameter in run.learners["main"].parameters])
    assert held[1] < held[0] / 2
    for whole, again in zip(*steps, strict=True):
        torch.testing.assert_close(whole, again, atol=1e-6, rtol=1e-4)


@pytest.mark.usefixtures("no_last_look")
def test_what_several_passes_start_with_is_computed_once(open_run: Callable[..., Any]) -> None:
    """The linear layers of an update in many passes see hardly more tokens than in one; so do those of the critic."""
    seen = []
    for limit in (1_000_000, 1):
        run = open_run(optimizer=OPEN | {"micro_batch_tokens": limit}, loss={"kl": 0.1}, credit={"baseline": "critic"}).shake()
        found = run.trajectories(run.play())
        rows: Any = []
        first = run.model.get_base_model().get_decoder().layers[0].mlp
        first.register_forward_pre_hook(lambda _, inputs, rows=rows: rows.append(inputs[0].shape[1]))
        run.learners["main"].update(found, 0.0)
        seen.append((len(rows), sum(rows)))
        micros = list(micro_batches(found, limit, run.learners["main"].device))
        stems = {id(micro.stem): len(micro.stem) for micro in micros}
        # values, critic, reference and policy; critic and policy again where nothing is kept
        assert seen[-1][1] == (6 if limit == 1 else 4) * (sum(stems.values()) + sum(len(micro.tokens) for micro in micros))
    (few, least), (many, tokens) = seen
    assert few == 4
    assert many > 20
    assert 1.5 * least < tokens < 1.5 * 1.5 * least


def test_dropout_of_the_base_model_stays_off_while_training(open_run: Callable[..., Any], tmp_path: Path, base: Any) -> None:
    config = transformers.Qwen2Config(**SMALL, num_key_value_heads=2, attention_dropout=0.5)
    folder = saved(transformers.AutoModelForCausalLM.from_config(config), base.tokenizer, tmp_path)
    run = open_run(model=folder, optimizer={"gradient_checkpointing": True}).shake()
    metrics = run.learners["main"].update(run.trajectories(run.play()), 0.0)
    assert metrics["mismatch/main/max_abs"] < 1e-5


@pytest.mark.usefixtures("no_last_look")
def test_logits_exist_for_drawn_tokens_only_a_chunk_at_a_time(
    open_run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = open_run(game={"name": "ipd", "rounds": 6}, episodes=8).shake()
    found = run.trajectories(run.play())
    drawn = sum(len(one.drawn) for one in found)
    shapes, logits = [], forward.head.logits  # type: ignore[attr-defined]
    monkeypatch.setattr(forward, "logits_at_once", lambda device: 20 * run.engine.grammar.vocab_size)
    monkeypatch.setattr(forward.head, "logits", lambda model, states: shapes.append(states.shape) or logits(model, states))  # type: ignore[attr-defined]
    run.learners["main"].update(found, 0.0)
    assert drawn < sum(len(one.tokens) for one in found) / 4
    assert all(rows <= 20 for rows, _ in shapes)
    assert sum(rows for rows, _ in shapes) == 2 * drawn  # once forward, once more for backward


def test_new_weights_are_tried_on_few_tokens(open_run: Callable[..., Any]) -> None:
    run = open_run().shake()
    found = run.trajectories(run.play())
    rows = []
    run.model.get_base_model().get_decoder().layers[0].mlp.register_forward_pre_hook(lambda _, i: rows.append(i[0].shape[1]))
    run.learners["main"].update(found, 0.0)
    assert rows[-1] == module.PROBED < min(rows[:-1])


# ---- the same distribution as the engine

SMALL: dict[str, Any] = {
    "vocab_size": 512,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 512,
    "eos_token_id": 3,
    "bos_token_id": None,
    "pad_token_id": 0,
}
GROUPED: dict[str, Any] = SMALL | {"num_key_value_heads": 2}
ARCHITECTURES = {
    "qwen3": lambda: transformers.Qwen3Config(**GROUPED, head_dim=8),
    "gemma3": lambda: transformers.Gemma3TextConfig(
        **GROUPED, head_dim=8, sliding_window=256, layer_types=["sliding_attention", "full_attention"], final_logit_softcapping=3.0
    ),
    "gpt_neox": lambda: transformers.GPTNeoXConfig(**SMALL),
    "granite": lambda: transformers.GraniteConfig(**GROUPED, logits_scaling=0.25),
    "cohere": lambda: transformers.CohereConfig(**GROUPED, logit_scale=4.0),
}


def saved(model: Any, tokenizer: Any, folder: Path) -> Any:
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter *= 5
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def exact(metrics: Any) -> None:
    assert metrics["ratio/main"] == pytest.approx(1, abs=1e-5)
    assert metrics["capped/main"] == 0
    assert metrics["mismatch/main/max_abs"] < 2e-5
    assert 0 <= metrics["mismatch/main/kl"] < 1e-9


@pytest.mark.parametrize("decoding", ["constrained", "retry", "free"])
@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_right_after_the_rollout_ratios_are_one(open_run: Callable[..., Any], decoding: str, temperature: float) -> None:
    run = open_run(answer={"decoding": decoding, "max_tokens": 4, "temperature": temperature}).shake()
    for iteration in range(2):
        exact(run.learners["main"].update(run.trajectories(run.play(iteration)), 0.0))


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_right_after_the_rollout_ratios_are_one_on_other_architectures(
    open_run: Callable[..., Any], tmp_path: Path, base: Any, name: Any
) -> None:
    torch.manual_seed(0)
    folder = saved(transformers.AutoModelForCausalLM.from_config(ARCHITECTURES[name]()), base.tokenizer, tmp_path)
    run = open_run(model=folder, loss={"kl": 0.1}).shake()
    for iteration in range(2):
        exact(run.learners["main"].update(run.trajectories(run.play(iteration)), 0.0))


def test_ratios_tell_when_the_engine_was_off(open_run: Callable[..., Any]) -> None:
    run = open_run().shake()
    found = [replace(one, logprobs=one.logprobs - 1.0) for one in run.trajectories(run.play())]
    metrics = run.learners["main"].update(found, 0.0)
    assert metrics["ratio/main"] == pytest.approx(2.718282, rel=1e-4)
    assert metrics["capped/main"] == 1
    assert metrics["mismatch/main/mean_abs"] == pytest.approx(1, rel=1e-4)
    assert metrics["mismatch/main/kl"] == pytest.approx(2.718282 - 2, rel=1e-3)


def test_the_divergence_is_from_the_base_model(open_run: Callable[..., Any]) -> None:
    """A new adapter is the base model; a random one is not. The number against plain forwards."""
    fresh = open_run(loss={"kl": 0.1})
    assert abs(fresh.learners["main"].update(fresh.trajectories(fresh.play()), 0.0)["kl/main"]) < 1e-9
    run = open_run(loss={"kl": 0.1}).shake(size=0.2)
    found = run.trajectories(run.play())
    trained, reference = copy.deepcopy(run.model), copy.deepcopy(run.model).unload()
    trained.set_adapter("main")
    total = 0.0
    for one in found:
        logprobs = []
        for model in (trained, reference):
            rows = model(torch.from_numpy(one.tokens)[None]).logits[0, one.drawn - 1].detach()
            words = [[w for w in range(rows.shape[1]) if int(p[w // 8]) >> w % 8 & 1] for p in one.allowed]
            logprobs.append([rows[n, one.tokens[i]] - rows[n, words[n]].logsumexp(-1) for n, i in enumerate(one.drawn)])
        total += sum(float(torch.expm1(b - a) - (b - a)) for a, b in zip(*logprobs, strict=True))
    expected = total / sum(len(one.drawn) for one in found)
    assert expected > 1e-3
    assert run.learners["main"].update(found, 0.0)["kl/main"] == pytest.approx(expected, rel=1e-3)


# ---- several steps on one rollout


@pytest.mark.parametrize("baseline", ["group", "critic"])
def test_one_step_is_the_update_bit_for_bit_whatever_the_clip(open_run: Callable[..., Any], baseline: str) -> None:
    """Gradients and one Adam step, nothing else."""
    ends = []
    for clip_ratio in (1e-6, 0.2, None):
        run = open_run(loss={"kl": 0.1} | ({"clip_ratio": clip_ratio} if clip_ratio else {}), credit={"baseline": baseline}).shake()
        learner, found = run.learners["main"], run.trajectories(run.play())
        if clip_ratio:
            assert not any(key.startswith("steps/") for key in learner.update(found, 0.0))
        else:
            assert learner.gradients(found, 0.0).batch
            assert learner.apply(0.0) > 0
        ends.append([p.detach().clone() for p in learner.parameters])
    for other in ends[1:]:
        assert all(torch.equal(a, b) for a, b in zip(ends[0], other, strict=True))


def test_later_steps_are_clipped_around_the_policy_before_the_first(open_run: Callable[..., Any]) -> None:
    """Three steps of SGD against the loss written out; the mismatch is that before the first."""
    setting = {"optimizer": OPEN | {"steps": 3}, "loss": {"clip_ratio": 0.05}}
    run, twin = (open_run(**setting).shake(size=0.2) for _ in range(2))
    learner, plain = run.learners["main"], twin.learners["main"]
    found = run.trajectories(run.play())
    sgd(learner)
    sgd(plain)
    metrics = learner.update(found, 0.0)
    first = plain.gradients(found, 0.0)
    plain.apply(0.0)
    for _ in range(2):
        plain.optimizer.zero_grad(set_to_none=True)
        ratios, held = [], 0
        with active(plain.model, "main"), forward.Forward(plain.model) as passes:
            for micro, old in zip(micro_batches(first.batch, plain.max_tokens, plain.device), first.parts[0].logprobs, strict=True):
                ratio = (passes.token_logprobs(passes.hidden_states(micro), micro, 1.0)[0] - old).exp()
                good = micro.credit > 0
                gain = torch.where(good, ratio.clamp(max=1.05), ratio.clamp(min=0.95)) * micro.credit
                weight = (old - micro.engine_logprobs).exp()
                (-(weight * gain).sum() / sum(one.generated for one in first.batch)).backward()
                ratios.append(ratio.detach())
                held += int((((ratio > 1.05) & good) | ((ratio < 0.95) & (micro.credit < 0))).sum())
        plain.apply(0.0)
    for ours, theirs in zip(learner.parameters, plain.parameters, strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-4, atol=1e-6)
    ratio = torch.cat(ratios)
    assert held > 0
    assert metrics["steps/main/clipped"] == pytest.approx(held / len(ratio))
    assert metrics["steps/main/ratio"] == pytest.approx(float(ratio.mean()), rel=1e-4)
    assert metrics["steps/main/kl"] == pytest.approx(float((ratio - 1 - ratio.log()).mean()), rel=1e-3)
    assert metrics["mismatch/main/max_abs"] < 2e-5
    assert learner.version == 1


# ---- adapters beside each other

SEPARATE = {"seats": ["left", "right"], "learners": {"left": {}, "right": {}}}


def test_updating_one_learner_leaves_everything_else_bit_for_bit(open_run: Callable[..., Any]) -> None:
    run = open_run(**SEPARATE).shake()
    episodes = run.play()
    state = {key: value.clone() for key, value in run.model.state_dict().items()}
    run.learners["left"].update(run.trajectories(episodes, "left"), 0.0)
    changed = {key for key, value in run.model.state_dict().items() if not torch.equal(value, state[key])}
    assert changed == {key for key in state if ".left." in key}
    assert (run.learners["left"].version, run.learners["right"].version) == (1, 0)
    assert run.learners["left"].policy == PolicyRef("adapter", "left", 1)
    run.learners["right"].update(run.trajectories(episodes, "right"), 0.0)
    exact_again = run.learners["right"].update(run.trajectories(run.play(1), "right"), 0.0)
    assert exact_again["mismatch/right/max_abs"] < 2e-5


def test_each_learner_trains_on_its_own_seat(open_run: Callable[..., Any]) -> None:
    run = open_run(**SEPARATE)
    episodes = run.play()
    assert {one.seat for one in run.trajectories(episodes, "left")} == {0}
    assert {one.seat for one in run.trajectories(episodes, "right")} == {1}


@pytest.mark.parametrize("names", [("weight", "other"), ("left", "left2"), ("main", "main_2")])
def test_names_that_contain_each_other_or_more(open_run: Callable[..., Any], names: tuple[str, str]) -> None:
    run = open_run(seats=names, learners={name: {} for name in names}).shake()
    one, other = (adapter_parameters(run.model, name) for name in names)
    assert [p.shape for p in one] == [p.shape for p in other]
    assert len(one) == len(run.learners[names[0]].weights()) == 2 * 7 * 3  # A and B, linear layers, layers
    assert not {id(p) for p in one} & {id(p) for p in other}
    metrics = run.learners[names[0]].update(run.trajectories(run.play(), names[0]), 0.0)
    assert metrics[f"mismatch/{names[0]}/max_abs"] < 2e-5


def test_switching_adapters_between_forward_and_backward_is_an_error(open_run: Callable[..., Any]) -> None:
    run = open_run(**SEPARATE)
    with pytest.raises(RuntimeError, match=r"switched from left to \['right'\]"), active(run.model, "left"):
        run.model.set_adapter("right")
    with pytest.raises(KeyError), active(run.model, "left"):  # an error of its own goes through
        {}["missing"]  # type: ignore[index]
    assert not run.model.training


# ---- options


def test_the_learning_rate_is_annealed(open_run: Callable[..., Any]) -> None:
    run = open_run(optimizer={"lr": 0.02, "lr_final": 0.01}).shake()
    found, learner = run.trajectories(run.play()), run.learners["main"]
    for progress, lr in ((0.0, 0.02), (0.25, 0.0175), (1.0, 0.01)):
        learner.update(found, progress)
        assert learner.optimizer.param_groups[0]["lr"] == pytest.approx(lr)


def test_beta_is_annealed_and_the_options_reach_the_algorithm(
    open_run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    algorithm = credit.ALGORITHMS["advantage_alignment"]
    spy = {"advantage_alignment": lambda group, options: seen.append(options) or algorithm(group, options)}
    monkeypatch.setattr(credit, "ALGORITHMS", spy)
    chosen = {"beta": 4.0, "beta_final": 2.0, "shaping": "causal", "first_round_bonus": 0.3, "gamma": 0.7, "gamma_shaping": 0.6}
    run = open_run(algorithm="advantage_alignment", credit=chosen)
    found = run.trajectories(run.play())
    for progress in (0.0, 0.5, 1.0):
        run.learners["main"].update(found, progress)
    assert [options.beta for options in seen] == [4, 4, 3, 3, 2, 2]  # two seats, so two groups
    for options in seen:
        assert options == run.learners["main"].options.credit.model_copy(update={"beta": options.beta})
        assert (options.shaping, options.gamma_shaping) == ("causal", 0.6)


def test_the_entropy_bonus_is_annealed(open_run: Callable[..., Any]) -> None:
    """What is left of the loss without the bonus is the same at the start, halfway and at the end."""
    run = open_run(loss={"entropy": 0.5, "entropy_final": 0.1}, optimizer={"lr": 1e-12}).shake()
    found = run.trajectories(run.play())
    rest = []
    for progress, coefficient in ((0.0, 0.5), (0.5, 0.3), (1.0, 0.1)):
        metrics = run.learners["main"].update(found, progress)
        share = metrics["tokens/main/drawn"] / metrics["tokens/main/generated"]
        rest.append(metrics["loss/main"] + coefficient * share * metrics["entropy/main"])
    assert rest == pytest.approx([rest[0]] * 3, abs=1e-6)


def test_whitened_credit_has_deviation_one(open_run: Callable[..., Any]) -> None:
    run = open_run(credit={"whiten": True}, episodes=8)
    metrics = run.learners["main"].update(run.trajectories(run.play()), 0.0)
    n = 8 * 2 * 3  # episodes, seats, rounds
    assert metrics["credit/main/std"] == pytest.approx((n / (n - 1)) ** 0.5, rel=1e-4)


def test_the_gradient_is_clipped(open_run: Callable[..., Any]) -> None:
    run = open_run(optimizer={"lr": 1.0, "max_grad_norm": 0.001}, credit={"reward_divisor": 0.1}).shake()
    sgd(run.learners["main"])
    steps = moved(run.learners["main"], run.trajectories(run.play()))
    assert sum(float((step**2).sum()) for step in steps) ** 0.5 == pytest.approx(0.001, rel=1e-3)


def test_without_baseline_a_group_may_be_one_episode(open_run: Callable[..., Any]) -> None:
    run = open_run(credit={"baseline": "none"}, episodes=2, group_size=1).shake()
    metrics = run.learners["main"].update(run.trajectories(run.play()), 0.0)
    assert metrics["grad_norm/main"] > 0
    assert run.learners["main"].version == 1


def test_nothing_to_learn_from(open_run: Callable[..., Any]) -> None:
    learner = open_run().learners["main"]
    assert learner.update([], 0.0) == {}
    assert learner.version == 0


def test_learners_update_on_their_own_clock(open_run: Callable[..., Any]) -> None:
    from detente.learning.loop import update
    from detente.learning.state import RunState

    run = open_run(seats=["left", "right"], learners={"left": {}, "right": {"update_every": 3}})
    episodes, versions = run.play(), []
    for iteration in range(6):
        update(run.session, RunState(iteration, {}, {}), episodes)
        versions.append((run.learners["left"].version, run.learners["right"].version))
    assert versions == [(1, 0), (2, 0), (3, 1), (4, 1), (5, 1), (6, 2)]


# ---- the critic


def test_the_critic_learns_the_returns_and_stays_out_of_the_adapter(open_run: Callable[..., Any]) -> None:
    run = open_run(credit={"baseline": "critic", "reward_divisor": 5}, optimizer={"lr": 0.005}).shake()
    learner = run.learners["main"]
    names = set(learner.weights())
    episodes = run.play()
    found = run.trajectories(episodes)
    assert [v.tolist() for v in learner.critic.evaluate(found, 1000)] == [[0, 0, 0]] * 8  # the head starts at 0
    losses = [learner.update(found, 0.0)["critic_loss/main"] for _ in range(20)]
    returns = torch.cat([module.credits.discounted_returns(one.own, 0.9) for one in found])  # type: ignore[attr-defined]
    values = torch.cat(learner.critic.evaluate(found, 1000))
    assert losses[0] == pytest.approx(float(torch.nn.functional.huber_loss(torch.zeros_like(returns), returns)), rel=1e-5)
    assert losses[-1] < 0.5 * losses[0]
    assert float(((values - returns) ** 2).mean()) < float((returns**2).mean())
    assert set(learner.weights()) == names
    assert not any("critic" in name or "head" in name for name in names)
    served = run.play(1)
    assert run.engine.serves(learner.policy)
    assert served[0].policies[0] == learner.policy


def test_values_are_read_where_a_round_starts(open_run: Callable[..., Any]) -> None:
    """The value of round t does not depend on what is said in it or later, and does depend on the round before."""
    run = open_run(credit={"baseline": "critic"})
    critic = run.learners["main"].critic
    torch.nn.init.normal_(critic.head.weight)
    one = run.trajectories(run.play())[0]
    (before,) = critic.evaluate([one], 1000)
    for t in range(3):
        changed = one.tokens.copy()
        changed[one.starts[t] + 1] += 1
        (after,) = critic.evaluate([replace(one, tokens=changed)], 1000)
        assert torch.allclose(after[: t + 1], before[: t + 1], atol=1e-5)
        assert not torch.allclose(after[t + 1 :], before[t + 1 :], atol=1e-5) or t == 2


def test_with_a_critic_credit_is_the_generalised_advantage(open_run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    run = open_run(credit={"baseline": "critic", "gamma": 0.9, "gae_lambda": 0.8})
    learner, given = run.learners["main"], []
    found = run.trajectories(run.play())
    values = [torch.tensor([0.5, -1.0, 2.0], dtype=torch.float64) + i for i in range(len(found))]
    monkeypatch.setattr(learner.critic, "evaluate", lambda *_: values)
    accumulate = learner._accumulate
    monkeypatch.setattr(learner, "_accumulate", lambda work: given.append(work.batch) or accumulate(work))
    learner.update(found, 0.0)
    for one, v in zip(given[0], values, strict=True):
        r, v = one.own.tolist(), [*v.tolist(), 0.0]  # type: ignore[assignment]
        deltas = [r[t] + 0.9 * v[t + 1] - v[t] for t in range(3)]
        expected = [sum((0.9 * 0.8) ** (k - t) * deltas[k] for k in range(t, 3)) for t in range(3)]
        assert one.credit.tolist() == pytest.approx(expected)


def test_the_critic_may_have_a_rate_and_a_clip_of_its_own(open_run: Callable[..., Any]) -> None:
    """Each is clipped alone, and a rate that falls is the adapter's; unset, both share one clip and one rate."""

    def steps(where: str, **optimizer: Any) -> Any:
        options = {"credit": {"reward_divisor": 0.1, where: "critic"}, "optimizer": {"lr": 0.5, "lr_final": 0.0} | optimizer}
        run = open_run(algorithm="advantage_alignment", **options).shake()
        learner = run.learners["main"]
        groups = [[*learner.parameters], [*learner.critic.parameters]]
        learner.optimizer = torch.optim.SGD([{"params": group} for group in groups], lr=9.0)
        found = run.trajectories(run.play())
        before = [[p.detach().clone() for p in group] for group in groups]
        learner.update(found, 0.5)  # half way: the adapter's rate is 0.25
        return [
            sum(float(((p.detach() - old) ** 2).sum()) for p, old in zip(*pair, strict=True)) ** 0.5
            for pair in zip(groups, before, strict=True)
        ]

    for where in ("baseline", "weight_baseline"):
        adapter, critic = steps(where, max_grad_norm=0.002, critic_lr=0.1, critic_max_grad_norm=0.003)
        assert (adapter, critic) == (pytest.approx(0.25 * 0.002, rel=1e-3), pytest.approx(0.1 * 0.003, rel=1e-3))
        together = steps(where, max_grad_norm=0.002)
        assert sum(step**2 for step in together) ** 0.5 == pytest.approx(0.25 * 0.002, rel=1e-3)


def test_a_critic_for_the_weight_alone_leaves_the_advantage_to_the_group(
    open_run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"gamma": 0.9, "beta": 2.0, "weight_baseline": "critic"}
    run = open_run(algorithm="advantage_alignment", credit=options)
    learner, batches = run.learners["main"], []
    trajectories = run.trajectories(run.play())
    values = [torch.tensor([0.5, -1.0, 2.0], dtype=torch.float64) + i for i in range(len(trajectories))]
    monkeypatch.setattr(learner.critic, "evaluate", lambda *_: values)
    accumulate = learner._accumulate
    monkeypatch.setattr(learner, "_accumulate", lambda work: batches.append(work.batch) or accumulate(work))
    assert "critic_loss/main" in learner.update(trajectories, 0.0)
    seat = [i for i, one in enumerate(trajectories) if (one.group, one.seat) == (trajectories[0].group, trajectories[0].seat)]
    own, others = (torch.stack([rewards(trajectories[i]) for i in seat])[None] for rewards in (_own, _others))
    expected = module.credits.advantage_alignment(  # type: ignore[attr-defined]
        own, others, beta=2.0, gamma=0.9, weight_values=torch.stack([values[i] for i in seat])[None]
    )
    assert torch.equal(torch.stack([batches[0][i].credit for i in seat])[None], expected)
    assert open_run(algorithm="reinforce", credit=options).learners["main"].critic is None  # which has no weight


def _own(trajectory: Any) -> Any:
    return trajectory.own


def _others(trajectory: Any) -> Any:
    return trajectory.rewards.sum(-1) - trajectory.own


def test_without_baseline_the_weight_still_compares(open_run: Callable[..., Any]) -> None:
    """Who is alone in the group has no credit then, and none where the weight compares nothing either."""
    for weight, trained in ((None, False), ("none", True)):
        run = open_run(algorithm="advantage_alignment", credit={"baseline": "none", "weight_baseline": weight})
        (alone, *_) = run.trajectories(run.play())
        assert bool(run.learners["main"].update([alone], 0.0)) is trained
