"""The engine against plain forward passes of a copy of the model: no cache, no batch, no engine."""

from __future__ import annotations

import asyncio
import copy
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
import torch
import transformers
from peft import get_peft_model, set_peft_model_state_dict

from detente.engines import choices as choices_module
from detente.engines import grammar_of, open_engine
from detente.engines.base import Request, Sampling
from detente.errors import UserError
from detente.records import PolicyRef

if TYPE_CHECKING:
    from peft.tuners.lora.config import LoraConfig
    from torch import Tensor

    from detente.engines.base import Generation
    from detente.engines.layout import PoolPlan
    from detente.engines.transformers import TransformersEngine
    from detente.models import LanguageModel


BASE, FIRST, SECOND = PolicyRef("base", "base"), PolicyRef("adapter", "main", 1), PolicyRef("adapter", "main", 2)
AB = ("<A>", "<B>")
SHORT = Sampling(max_tokens=5)


class Oracle:
    """Logits of whole token sequences, one at a time, from a copy of the model with the adapter as its only one."""

    def __init__(self, model: Any) -> None:
        self.plain = copy.deepcopy(model).eval()
        self.adapted: Any = {}

    def add(self, policy: PolicyRef, weights: dict[str, Tensor], config: LoraConfig) -> None:
        model = get_peft_model(copy.deepcopy(self.plain), copy.deepcopy(config))
        set_peft_model_state_dict(model, dict(weights))
        self.adapted[policy] = model.eval()

    @torch.no_grad()
    def logits(self, policy: PolicyRef, tokens: list[int] | tuple[int, ...]) -> Tensor:
        """(L, V)"""
        return self.adapted.get(policy, self.plain)(torch.tensor([list(tokens)]), use_cache=False).logits[0]

    def probabilities(self, request: Request, tokenizer: Any, end: int) -> tuple[float, float]:
        """Of each choice, by following every token path that spells one."""
        texts = {i: tokenizer.decode([i]) for i in range(len(tokenizer)) if i not in tokenizer.all_special_ids}
        total = dict.fromkeys(request.choices, 0.0)

        def go(path: tuple[int, ...], written: str, probability: float) -> None:
            longer = [i for i, text in texts.items() if any(c.startswith(written + text) for c in request.choices)]
            if not longer:
                total[written] += probability
                return
            tokens = [*longer, *([end] if written in request.choices else [])]
            logits = self.logits(request.policy, [*request.tokens, *path])[-1][tokens].double()
            for token, p in zip(tokens, (logits / request.sampling.temperature).softmax(-1).tolist(), strict=True):
                if token == end:
                    total[written] += probability * p
                else:
                    go((*path, token), written + texts[token], probability * p)

        go((), "", 1.0)
        return tuple(total.values())  # type: ignore[return-value]


class Setup:
    """An engine that serves the base model and two adapters, and what is true of them."""

    def __init__(self, model: Any, tokenizer: Any, random_adapter: Callable[..., Any]) -> None:
        self.oracle, self.tokenizer, self.end = Oracle(model), tokenizer, tokenizer.eos_token_id
        self.engine = open_engine(model, tokenizer, grammar_of(model, tokenizer, (self.end,)))
        for seed, policy in enumerate((FIRST, SECOND)):
            self.serve(policy, *random_adapter(self.oracle.plain, seed))

    def serve(self, policy: PolicyRef, weights: dict[str, Tensor], config: LoraConfig) -> None:
        self.oracle.add(policy, weights, config)
        self.engine.serve(policy, weights, config)

    @property
    def decoder(self) -> Any:
        return self.engine.adapters.model.get_base_model().get_decoder()  # type: ignore[operator]

    def generate(self, *requests: Request) -> Any:
        async def together() -> Any:
            return await asyncio.gather(*(self.engine.generate(request) for request in requests), return_exceptions=True)

        return asyncio.run(asyncio.wait_for(together(), 60))

    def check(self, request: Request, generation: Generation) -> None:
        """The log-probability of every token is that of the masked, tempered softmax of a plain forward."""
        if isinstance(generation, BaseException):
            raise generation
        logits = self.oracle.logits(request.policy, [*request.tokens, *generation.tokens])[len(request.tokens) - 1 : -1].float()
        logits = logits / request.sampling.temperature
        if request.pattern is not None:
            nodes = self.engine.grammar.replay(request.pattern, generation.tokens)
            for row, node in zip(logits, nodes, strict=True):
                row[~torch.from_numpy(node.allowed())] = -torch.inf
        logits[:, len(self.tokenizer) :] = -torch.inf  # rows for which there is no token
        expected = logits.log_softmax(-1).gather(-1, torch.tensor(generation.tokens)[:, None])[:, 0]
        assert generation.logprobs == pytest.approx(expected.tolist(), abs=1e-5)
        if request.choices:
            assert generation.probabilities == pytest.approx(self.oracle.probabilities(request, self.tokenizer, self.end), abs=1e-5)


@pytest.fixture
def setup(base: LanguageModel, random_adapter: Callable[..., Any]) -> Setup:
    return Setup(base.model, base.tokenizer, random_adapter)


@pytest.fixture
def every_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choices_module, "NEGLIGIBLE", 0.0)


def words(seed: int | str, n: int) -> tuple[int, ...]:
    """n tokens that are neither special nor the first bytes."""
    return tuple(random.Random(seed).randrange(10, 400) for _ in range(n))


def mixed(n: int = 12, sampling: Any = SHORT) -> list[Request]:
    """Requests that differ in policy, length, pattern and seed; some start alike."""
    rules, requests = words("rules", 30), []
    for i in range(n):
        tokens = (rules if i % 2 else ()) + words(i, 1 + 5 * i % 17)
        pattern = (None, "<A>|<B>", "[0-9]{1,3}", None)[i % 4]
        sampling = replace(sampling, temperature=(1.0, 0.6, 1.7)[i % 3])
        options = AB if i % 4 < 2 else ()
        requests.append(Request(f"chat {i}", tokens, (BASE, FIRST, SECOND)[i % 3], 100 + i, sampling, pattern, options))
    return requests


def follow_up(request: Request, generation: Generation, turn: int) -> Request:
    more = words(f"{request.chat} {turn}", 1 + (request.seed + turn) % 6)
    return replace(request, tokens=(*request.tokens, *generation.tokens, *more), seed=request.seed + 1000 * turn)


def test_a_pass_does_not_depend_on_the_order_in_which_adapters_came(setup: Setup) -> None:
    """The places of tokens in a pass decide last bits on some processors: a resumed run must find them as they were."""
    passes: list[Any] = []
    served = setup.engine.adapters
    decoder = served.model.get_base_model().get_decoder()  # type: ignore[operator]
    decoder.register_forward_pre_hook(lambda _, __, inputs: passes[-1].append(inputs["input_ids"].tolist()), with_kwargs=True)
    config = served.model.peft_config["served0"]
    weights = {policy: {key: value.clone() for key, value in served.weights(policy).items()} for policy in (FIRST, SECOND)}
    for order in ((FIRST, SECOND), (SECOND, FIRST)):
        for policy in (FIRST, SECOND):
            setup.engine.retire(policy)
        for policy in order:
            setup.engine.serve(policy, weights[policy], config)  # type: ignore[arg-type]
        passes.append([])
        setup.generate(*mixed())
        for request in mixed():
            setup.engine.release(request.chat)
    assert passes[0] == passes[1] != []


def test_equal_to_plain_forwards_over_several_turns(setup: Setup, every_way: Any) -> None:
    requests = mixed()
    for turn in range(1, 4):
        generations = setup.generate(*requests)
        for request, generation in zip(requests, generations, strict=True):
            setup.check(request, generation)
        requests = [follow_up(r, g, turn) for r, g in zip(requests, generations, strict=True)]


SMALL: dict[str, Any] = {
    "vocab_size": 512,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
}
GROUPED: dict[str, Any] = SMALL | {
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 3,
}
WINDOW: dict[str, Any] = {"sliding_window": 64, "head_dim": 8}
ARCHITECTURES = {
    "qwen2": lambda: transformers.Qwen2Config(**GROUPED),
    "qwen3": lambda: transformers.Qwen3Config(**GROUPED, head_dim=8),
    "gemma3": lambda: transformers.Gemma3TextConfig(**GROUPED, **WINDOW, layer_types=["sliding_attention", "full_attention"]),
    "mistral": lambda: transformers.MistralConfig(**GROUPED, **WINDOW),
    "gpt_neox": lambda: transformers.GPTNeoXConfig(**SMALL, eos_token_id=3, max_position_embeddings=256),
    "granite": lambda: transformers.GraniteConfig(**GROUPED, logits_scaling=0.25, residual_multiplier=0.5),
    "cohere": lambda: transformers.CohereConfig(**GROUPED, logit_scale=4.0),
    "phi3": lambda: transformers.Phi3Config(**GROUPED),
}


def tiny(name: str) -> Any:
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(ARCHITECTURES[name](), attn_implementation="sdpa").eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter *= 5  # fresh models are all but uniform
    return model


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_other_architectures(name: str, base: LanguageModel, random_adapter: Callable[..., Any]) -> None:
    setup = Setup(tiny(name), base.tokenizer, random_adapter)
    requests = [replace(request, choices=()) for request in mixed(9)]
    for turn in range(1, 3):
        generations = setup.generate(*requests)
        for request, generation in zip(requests, generations, strict=True):
            setup.check(request, generation)
        requests = [follow_up(r, g, turn) for r, g in zip(requests, generations, strict=True)]


def engine_of(model: Any, tokenizer: Any) -> TransformersEngine:
    """An engine whose answers end in token 3."""
    return open_engine(model, tokenizer, grammar_of(model, tokenizer, (3,)))


@pytest.mark.parametrize(("name", "longest"), [("qwen2", 256), ("gemma3", 64), ("mistral", 64), ("gpt_neox", 256)])
def test_the_longest_chat_is_the_window(name: str, longest: int, base: LanguageModel) -> None:
    assert engine_of(tiny(name), base.tokenizer).longest == longest


@pytest.mark.parametrize("special", [True, False])
def test_the_end_of_a_thought_is_part_of_the_text_as_a_special_token_too(special: bool, base: LanguageModel) -> None:
    tokenizer = copy.deepcopy(base.tokenizer)
    tokenizer.add_tokens(["</think>"], special_tokens=special)
    end, five, six = (tokenizer.convert_tokens_to_ids(text) for text in ("</think>", "5", "6"))
    engine = engine_of(tiny("qwen2"), tokenizer)
    assert [engine._texts(tokens) for tokens in ((five, end, six, 3), (end,), (five, 3))] == ["5</think>6", "</think>", "5"]  # type: ignore[arg-type]


@pytest.mark.parametrize("pattern", ["[0-9]", None])
def test_frequencies_follow_the_probabilities(setup: Setup, pattern: str | None) -> None:
    """Chi-square of 1000 first tokens against the plain distribution, rare tokens taken together."""
    n, tokens = 1000, words(5, 9)
    sampling = Sampling(temperature=1.25, max_tokens=1)
    requests = [Request(f"{i}", tokens, FIRST, seed, sampling, pattern) for i, seed in enumerate(range(1000, 1000 + n))]
    drawn = Counter(generation.tokens[0] for generation in setup.generate(*requests))
    logits = setup.oracle.logits(FIRST, tokens)[-1] / 1.25
    if pattern:
        digits = setup.tokenizer.encode("0123456789", add_special_tokens=False)
        logits = torch.full_like(logits, -torch.inf).index_copy(0, torch.tensor(digits), logits[digits])
    expected = n * logits.double().softmax(-1)
    often = [i for i, e in enumerate(expected.tolist()) if e >= 5]
    observed = torch.tensor([*(drawn[i] for i in often), n - sum(drawn[i] for i in often)])
    predicted = torch.tensor([*(expected[i] for i in often), n - sum(expected[i] for i in often)])
    observed, predicted = observed[predicted > 1e-6], predicted[predicted > 1e-6]
    assert len(observed) > 5
    statistic = ((observed - predicted) ** 2 / predicted).sum()
    p = torch.special.gammaincc(torch.tensor((len(observed) - 1) / 2, dtype=torch.float64), (statistic / 2).double())
    assert 0.01 < p < 0.999


# ---- the same seed, the same answer


async def play(
    engine: TransformersEngine, requests: list[Request], delays: Random | None = None, turns: int = 3
) -> dict[str, list[Generation]]:
    """Several turns of every chat, each at its own pace; returns the generations of each."""

    async def chat(request: Request) -> list[Generation]:
        found = []
        for turn in range(1, turns + 1):
            if delays is not None:
                await asyncio.sleep(delays.choice((0, 0, 0.001, 0.004)))
            found.append(await engine.generate(request))
            request = follow_up(request, found[-1], turn)
        engine.release(request.chat)
        return found

    tasks = {request.chat: asyncio.create_task(chat(request)) for request in requests}
    return {name: await task for name, task in sorted(tasks.items())}


def close(one: dict[str, list[Generation]], other: dict[str, list[Generation]]) -> None:
    assert one.keys() == other.keys()
    for chat in one:
        for a, b in zip(one[chat], other[chat], strict=True):
            assert (a.text, a.tokens) == (b.text, b.tokens)
            assert a.logprobs == pytest.approx(b.logprobs, abs=1e-5)
            assert a.probabilities == pytest.approx(b.probabilities, abs=2e-3)


def test_the_order_of_arrival_changes_no_bit(setup: Setup) -> None:
    expected = asyncio.run(play(setup.engine, mixed()))
    for seed in range(2):
        shuffled = random.Random(seed).sample(mixed(), 12)
        assert asyncio.run(play(setup.engine, shuffled)) == expected


def test_company_and_delays_change_no_token(setup: Setup) -> None:
    expected = asyncio.run(play(setup.engine, mixed()))
    for seed in range(2):
        close(asyncio.run(play(setup.engine, mixed(), random.Random(seed))), expected)
    alone: Any = {}
    for request in mixed():
        alone |= asyncio.run(play(setup.engine, [request]))
    close(alone, expected)


def test_what_was_played_before_changes_no_bit(setup: Setup, base: LanguageModel, random_adapter: Callable[..., Any]) -> None:
    """A resumed run starts with a fresh engine and must go on as the uninterrupted one."""
    asyncio.run(play(setup.engine, [replace(r, tokens=words("other", 29) + r.tokens, policy=BASE) for r in mixed(20)]))  # type: ignore[operator]
    asyncio.run(play(setup.engine, mixed(3)))
    fresh = Setup(setup.oracle.plain, base.tokenizer, random_adapter)
    assert asyncio.run(play(setup.engine, mixed())) == asyncio.run(play(fresh.engine, mixed()))


# ---- what the cache saves, and what it must not keep


@pytest.fixture
def passed(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """How many tokens went through the model in each pass."""
    counts, decoder = [], setup.decoder
    forward = decoder.forward

    def counted(*args: Any, **kwargs: PoolPlan | Tensor | bool) -> Any:
        counts.append(kwargs["input_ids"].numel())
        return forward(*args, **kwargs)

    monkeypatch.setattr(decoder, "forward", counted)
    return counts


def test_the_rules_are_computed_once_per_policy_and_turns_cost_their_new_tokens(setup: Setup, passed: list[Any]) -> None:
    rules = words("rules", 50)
    policies = (FIRST, FIRST, FIRST, SECOND, SECOND, BASE)
    requests = [
        Request(f"{i}", (*rules, *words(i, 2)), policy, i, Sampling(max_tokens=1), "<A>|<B>") for i, policy in enumerate(policies)
    ]
    generations = setup.generate(*requests)
    assert passed == [51, 51, 51, 3 * 1 + 3 * 2]  # one prefix per policy, from the first chat, then what is different in each
    passed.clear()
    later = [replace(r, tokens=(*r.tokens, *g.tokens, *words("next", 3))) for r, g in zip(requests, generations, strict=True)]
    for request, generation in zip(later, setup.generate(*later), strict=True):
        setup.check(request, generation)
    assert passed == [6 * 4]  # the answer that was never read, and what followed it


def test_forced_tokens_are_not_asked_for(setup: Setup, passed: list[Any]) -> None:
    request = Request("chat", words(0, 8), FIRST, 0, Sampling(), "1234(5|6)")
    (generation,) = setup.generate(request)
    assert passed == [8 + 4]
    assert generation.logprobs[:4] == (0, 0, 0, 0)
    setup.check(request, generation)


def test_masks_of_an_answer_are_not_made_again(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    request = Request("chat", words(0, 8), FIRST, 0, Sampling(), "[0-9a-z]{5,9}")
    (generation,) = setup.generate(request)
    expected = [state.mask.packed.tolist() for state in setup.engine.grammar.replay("[0-9a-z]{5,9}", generation.tokens)]
    monkeypatch.setattr(setup.engine.grammar, "replay", None)
    masks = setup.engine.grammar.masks("[0-9a-z]{5,9}", generation.tokens)
    assert [mask.packed.tolist() for mask in masks] == expected


def test_released_rows_are_used_again(setup: Setup) -> None:
    """Also while another chat stays."""
    staying = Request("staying", words(9, 7), FIRST, 9, SHORT)
    (generation,) = setup.generate(staying)
    for _ in range(4):
        asyncio.run(play(setup.engine, mixed(8), turns=2))
    assert setup.engine._pool.rows <= 32
    later = follow_up(staying, generation, 1)
    setup.check(later, *setup.generate(later))


def test_a_chat_that_is_not_continued_but_changed(setup: Setup) -> None:
    first = Request("chat", words(0, 20), FIRST, 0, SHORT)
    setup.generate(first)
    for tokens in (words(0, 12), words(0, 12) + words(1, 9), words(2, 20), words(0, 20)):
        request = replace(first, tokens=tokens)
        setup.check(request, *setup.generate(request))
    other = replace(first, policy=SECOND)
    setup.check(other, *setup.generate(other))


@pytest.mark.parametrize("released", [False, True])
@pytest.mark.parametrize("successor", [FIRST, replace(FIRST, version=7)])
def test_a_place_that_is_served_anew_serves_nothing_old(
    setup: Setup, random_adapter: Callable[..., Any], successor: PolicyRef, released: bool
) -> None:
    requests = [Request(f"{i}", words("rules", 20) + words(i, 3), FIRST, i, SHORT) for i in range(3)]
    setup.generate(*requests)
    if released:
        for request in requests:
            setup.engine.release(request.chat)
    setup.engine.retire(FIRST)
    assert setup.engine.policies == (SECOND,)
    places = len(setup.engine.adapters.model.peft_config)
    setup.serve(successor, *random_adapter(setup.oracle.plain, 99))
    assert len(setup.engine.adapters.model.peft_config) == places
    requests = [replace(request, policy=successor) for request in requests] + [
        Request("new 1", words("rules", 20) + words(7, 3), successor, 7, SHORT),
        Request("new 2", words("rules", 20) + words(8, 3), successor, 8, SHORT),
    ]
    for request, generation in zip(requests, setup.generate(*requests), strict=True):
        setup.check(request, generation)


def test_served_weights_are_a_copy(setup: Setup, random_adapter: Callable[..., Any]) -> None:
    weights, config = random_adapter(setup.oracle.plain, 5)
    policy = PolicyRef("adapter", "other", 3)
    setup.serve(policy, weights, config)
    for tensor in weights.values():
        tensor.zero_()
    request = Request("chat", words(0, 9), policy, 0, SHORT)
    setup.check(request, *setup.generate(request))
    assert all(w.abs().sum() > 0 for w in setup.engine.adapters.weights(policy).values())


# ---- when something goes wrong


@pytest.mark.parametrize("at", [0, 1, 3, 4])
def test_a_failing_forward_reaches_every_caller_and_leaves_nothing_behind(
    setup: Setup, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    """Forwards 0 to 2 compute what the chats of a policy share, the later ones are steps."""
    calls: list[Any] = []
    forward = setup.decoder.forward

    def failing(*args: Any, **kwargs: PoolPlan | Tensor | bool) -> Any:
        calls.append(None)
        if len(calls) == at + 1:
            raise RuntimeError("no room")
        return forward(*args, **kwargs)

    rules = words("rules", 30)
    policies = (FIRST, SECOND, BASE, FIRST, SECOND, BASE)
    requests = [Request(f"{i}", (*rules, *words(i, 4)), policy, i, SHORT) for i, policy in enumerate(policies)]
    monkeypatch.setattr(setup.decoder, "forward", failing)
    results = setup.generate(*requests)
    answered = [g for g in results if not isinstance(g, BaseException)]
    assert all(g.tokens[-1] == setup.end for g in answered)  # before the failure
    assert [str(error) for error in results if error not in answered] == ["no room"] * (6 - len(answered))
    assert len(answered) < 3
    requests += [replace(request, chat=f"new {request.chat}") for request in requests]
    for request, generation in zip(requests, setup.generate(*requests), strict=True):
        setup.check(request, generation)


def test_memory_that_runs_out_has_the_advice_of_play(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*args: Any, **kwargs: PoolPlan | Tensor | bool) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes.")

    monkeypatch.setattr(setup.decoder, "forward", failing)
    (error,) = setup.generate(Request("chat", words(0, 9), FIRST, 0, Sampling()))
    assert str(error).startswith("Memory ran out for the answers of models; play fewer episodes at once (concurrency)")


def test_a_chat_that_outgrows_the_model(setup: Setup) -> None:
    setup.engine._steps.passes.longest = 12
    (error,) = setup.generate(Request("chat", words(0, 9), FIRST, 0, Sampling()))
    assert isinstance(error, UserError)
    assert "12" in str(error)
    assert "max_tokens" in str(error)
    request = Request("chat", words(0, 9), FIRST, 0, Sampling(max_tokens=4))  # the fourth token is not read any more
    setup.check(request, *setup.generate(request))


def test_a_bad_pattern(setup: Setup) -> None:
    (error,) = setup.generate(Request("chat", words(0, 9), FIRST, 0, Sampling(), "x["))
    assert isinstance(error, UserError)
    request = Request("chat", words(0, 9), FIRST, 0, SHORT, "[0-9]")
    setup.check(request, *setup.generate(request))


@pytest.mark.parametrize("pattern", [None, "[0-9]{5,9}"])
def test_an_answer_is_cut_at_max_tokens(setup: Setup, pattern: str | None) -> None:
    request = Request("chat", words(0, 9), FIRST, 3, Sampling(max_tokens=3), pattern)
    (generation,) = setup.generate(request)
    assert len(generation.tokens) == len(generation.logprobs) == 3
    setup.check(request, generation)


def test_the_end_token_belongs_to_the_tokens_and_not_to_the_text(setup: Setup) -> None:
    for seed in range(200):
        request = Request("chat", words(0, 9), FIRST, seed, Sampling(max_tokens=8), "[0-9]{1,3}")
        (generation,) = setup.generate(request)
        if generation.tokens[-1] == setup.end:
            break
    assert setup.tokenizer.decode(generation.tokens[:-1]) == generation.text
    setup.check(request, generation)


def test_cancelled_callers_leave_no_row_behind(setup: Setup) -> None:
    """One is cancelled before it is admitted, one while its answer grows."""

    async def some_give_up() -> list[Generation]:
        tasks = [asyncio.create_task(setup.engine.generate(request)) for request in mixed()]
        await asyncio.sleep(0)
        tasks[0].cancel()
        survivors = await asyncio.gather(*tasks[2:6])
        tasks[1].cancel()
        for request in mixed():
            setup.engine.release(request.chat)
        return survivors

    for _ in range(3):
        for request, generation in zip(mixed()[2:6], asyncio.run(some_give_up()), strict=True):
            setup.check(replace(request, choices=()), generation)
    asyncio.run(play(setup.engine, mixed()))
    assert len(setup.engine._chats.free_rows) == setup.engine._pool.rows


def test_who_is_not_served(setup: Setup, random_adapter: Callable[..., Any]) -> None:
    (error,) = setup.generate(Request("chat", words(0, 9), PolicyRef("adapter", "main", 3), 0))
    assert isinstance(error, KeyError)
    assert "main@3" in str(error)
    weights, config = random_adapter(setup.oracle.plain, 0)
    with pytest.raises(ValueError, match="main@1 is served already"):
        setup.engine.serve(FIRST, weights, config)


def test_an_adapter_that_does_not_fit(setup: Setup, random_adapter: Callable[..., Any]) -> None:
    weights, config = random_adapter(setup.oracle.plain, 0)
    policy = PolicyRef("adapter", "other", 1)
    name, first = next(iter(weights.items()))
    for wrong in ({name: first[:1]}, {}, {"elsewhere": first}):
        unfit = {key: w for key, w in weights.items() if key != name} | wrong
        with pytest.raises(UserError, match="other@1 does not fit"):
            setup.engine.serve(policy, unfit, config)
        assert not setup.engine.serves(policy)
    setup.serve(policy, weights, config)
    request = Request("chat", words(0, 9), policy, 0, SHORT)
    setup.check(request, *setup.generate(request))


def test_adapters_of_another_shape_get_another_place(setup: Setup, random_adapter: Callable[..., Any]) -> None:
    setup.engine.retire(FIRST)
    wide = PolicyRef("adapter", "wide", 1)
    setup.serve(wide, *random_adapter(setup.oracle.plain, 4, rank=8))
    setup.serve(FIRST, *random_adapter(setup.oracle.plain, 5))
    requests = [Request(f"{i}", words(i, 9), policy, i, SHORT) for i, policy in enumerate((wide, FIRST, SECOND))]
    for request, generation in zip(requests, setup.generate(*requests), strict=True):
        setup.check(request, generation)


def test_one_choice_is_certain(setup: Setup) -> None:
    request = Request("chat", words(0, 9), FIRST, 0, SHORT, choices=("<A>",))
    (generation,) = setup.generate(request)
    assert generation.probabilities == (1.0,)


@pytest.mark.parametrize("request_options", [{"pattern": "<A>|<B>"}, {"pattern": "<A>|<B>", "choices": AB}, {}, {"choices": AB}])
@pytest.mark.parametrize("value", [float("nan"), 1e30])
def test_a_policy_whose_scores_are_not_finite_is_named(
    setup: Setup, random_adapter: Callable[..., Any], value: float, request_options: Any
) -> None:
    """Finite weights may be so large that nothing finite comes out."""
    weights, config = random_adapter(setup.oracle.plain, 7)
    broken = PolicyRef("adapter", "broken", 4)
    setup.engine.serve(broken, {key: value * w for key, w in weights.items()}, config)
    good, bad = (Request(f"chat {policy}", words(1, 20), policy, 1, SHORT, **request_options) for policy in (FIRST, broken))
    (found,) = setup.generate(bad)
    assert isinstance(found, UserError)
    assert "The scores that broken@4 gives" in str(found)
    assert "not finite" in str(found)
    (found,) = setup.generate(good)
    setup.check(good, found)


DAMAGED = {"target_modules": 5, "layers_to_transform": "x"}


@pytest.mark.parametrize("key", DAMAGED)
def test_a_configuration_that_peft_cannot_build(setup: Setup, random_adapter: Callable[..., Any], key: str) -> None:
    weights, config = random_adapter(setup.oracle.plain, 7)
    setattr(config, key, DAMAGED[key])
    with pytest.raises(UserError, match=r"PEFT cannot build the adapter main@9|does not fit") as caught:
        setup.engine.serve(PolicyRef("adapter", "main", 9), weights, config)
    assert "\n" not in str(caught.value)


def test_closed_it_serves_nobody_and_holds_nothing(open_run: Any) -> None:
    run = open_run()
    run.play()
    run.session.close()
    assert run.engine.policies == ()
    assert (run.engine._pool.rows, run.engine._pool._layers) == (0, [])
    with pytest.raises(KeyError, match="is not served"):
        run.play(publish=False)
    run.session.close()
    assert run.play() == open_run().play()  # what is served again answers as before
