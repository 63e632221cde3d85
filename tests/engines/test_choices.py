"""The probability of a choice against the sum over every token path that spells it."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from detente.engines import choices as module
from detente.engines.choices import Choices
from detente.engines.grammar import Grammar

if TYPE_CHECKING:
    from numpy.typing import NDArray


TEXTS = [("<A>", "<B>"), ("<A>", "<AB>", "<ABA>"), ("1", "10", "2"), ("yes", "no"), ("a-b", "a.b", "a b"), ("only",)]


@pytest.fixture(scope="module")
def tokenizer(tiny_model: str) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tiny_model)


def logits(path: tuple[int, ...], tokens: list[int]) -> NDArray[Any]:
    """What a made-up model says after a path: numbers that depend on all of it."""
    return np.array([random.Random(repr((path, token))).gauss(0, 2) for token in tokens])


def enumerate_paths(tokenizer: Any, texts: tuple[str, ...], end: int) -> tuple[float, ...]:
    """Probability of each text under softmax over the tokens that keep one of the texts possible, path by path."""
    plain = {i: tokenizer.decode([i]) for i in range(len(tokenizer)) if i not in tokenizer.all_special_ids}
    total = dict.fromkeys(texts, 0.0)

    def go(path: tuple[int, ...], written: str, probability: float) -> None:
        longer = [i for i, text in plain.items() if any(t.startswith(written + text) for t in texts)]
        if not longer:
            total[written] += probability
            return
        tokens = sorted([*longer, *([end] if written in texts else [])])
        weights = np.exp(logits(path, tokens))
        for token, p in zip(tokens, probability * weights / weights.sum(), strict=True):
            if token == end:
                total[written] += p
            else:
                go((*path, token), written + plain[token], p)

    go((), "", 1.0)
    return tuple(total.values())


def collect(choices: Choices) -> int:
    """Follow every candidate."""
    followed = 0
    while candidates := choices.missed(("nothing starts like this",)):  # type: ignore[arg-type]
        candidate = candidates[0]
        choices.weigh(candidate, logits(candidate.tokens, choices.next_tokens(candidate).tolist()))
        followed += 1
    return followed


@pytest.mark.parametrize("texts", TEXTS)
def test_equal_to_the_enumeration_of_all_paths(tokenizer: Any, texts: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "NEGLIGIBLE", 0.0)
    end = tokenizer.eos_token_id
    choices = Choices(Grammar(tokenizer, len(tokenizer), [end]), texts)
    collect(choices)
    assert choices.probabilities == pytest.approx(enumerate_paths(tokenizer, texts, end), abs=1e-12)
    assert sum(choices.probabilities) == pytest.approx(1)


def every_token(path: tuple[int, ...], count: int) -> NDArray[Any]:
    """(V,) what the made-up model says of every token."""
    return logits(path, list(range(count)))


def log_sum(numbers: NDArray[Any]) -> float:
    return float(np.log(np.exp(numbers).sum()))


@pytest.mark.parametrize("longest", [1, 3, 400])
def test_what_is_no_choice_keeps_its_share(tokenizer: Any, longest: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Free answers: the product of the probabilities over the whole vocabulary, to the end token or to the last token that fits."""
    monkeypatch.setattr(module, "NEGLIGIBLE", 1e-9)
    end, count = tokenizer.eos_token_id, len(tokenizer)
    choices = Choices(Grammar(tokenizer, count, [end]), ("7", "8"), longest)
    while candidates := choices.missed((), finished=True):
        candidate, rest = candidates[0], len(candidates)
        tokens = choices.next_tokens(candidate)
        assert choices.weigh(candidate, logits(candidate.tokens, tokens.tolist()), log_sum(every_token(candidate.tokens, count)))
        assert rest < 1000
    seven, eight = (tokenizer.encode(text, add_special_tokens=False)[0] for text in "78")

    def probability(*path: int) -> float:
        steps = (every_token(path[:i], count)[token] - log_sum(every_token(path[:i], count)) for i, token in enumerate(path))
        return float(np.exp(sum(steps)))

    expected = [probability(token) if longest == 1 else probability(token, end) for token in (seven, eight)]
    assert choices.free
    assert all(p >= q - 1e-12 for p, q in zip(choices.probabilities, expected, strict=True))  # white space may stand around it
    assert choices.probabilities == pytest.approx(expected, abs=5e-5)
    assert sum(choices.probabilities) < 0.1


def test_free_answers_that_are_not_finite_are_seen(tokenizer: Any) -> None:
    choices = Choices(Grammar(tokenizer, len(tokenizer), [tokenizer.eos_token_id]), ("7", "8"), 400)
    root = choices.at(())
    assert root is not None
    assert not choices.weigh(root, np.zeros(len(choices.next_tokens(root))), float("nan"))


def test_negligible_ways_cost_little_accuracy(tokenizer: Any) -> None:
    end = tokenizer.eos_token_id
    for texts in TEXTS:
        choices = Choices(Grammar(tokenizer, len(tokenizer), [end]), texts)
        collect(choices)
        assert choices.probabilities == pytest.approx(enumerate_paths(tokenizer, texts, end), abs=0.01)


def test_what_must_follow_needs_no_logits(tokenizer: Any) -> None:
    """Both texts begin with 7, which is one token: the open candidate ends behind it."""
    choices = Choices(Grammar(tokenizer, len(tokenizer), [tokenizer.eos_token_id]), ("7q", "7z"))
    seven = tokenizer.encode("7", add_special_tokens=False)
    assert choices.at(()) is None
    assert choices.at(tuple(seven)) is not None


def test_without_choices_nothing_is_known(tokenizer: Any) -> None:
    choices = Choices(Grammar(tokenizer, len(tokenizer), [tokenizer.eos_token_id]), ())
    assert choices.probabilities == ()
    assert choices.at(()) is None
    assert choices.missed((1,)) == []


def test_ways_are_missed_once_the_answer_has_left_them(tokenizer: Any) -> None:
    """<A> in one token, or as < and A>: an answer that begins with < may still be the longer one."""
    choices = Choices(Grammar(tokenizer, len(tokenizer), [tokenizer.eos_token_id]), ("<A>", "<AB>", "<ABA>"))
    root = choices.at(())
    choices.weigh(root, np.zeros(len(choices.next_tokens(root))))  # type: ignore[arg-type]
    candidates = choices.missed((tokenizer.eos_token_id,))
    assert len(candidates) > 1
    assert all(choices.at(candidate.tokens) is candidate for candidate in candidates)
    first = candidates[0].tokens
    assert choices.missed(first[:1]) == [candidate for candidate in candidates if candidate.tokens[0] != first[0]]
    assert choices.missed(()) == []
    choices.weigh(candidates[0], np.zeros(len(choices.next_tokens(candidates[0]))))
    assert choices.at(first) is None


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_logits_that_are_not_finite_are_not_weighed(tokenizer: Any, value: float) -> None:
    choices = Choices(Grammar(tokenizer, len(tokenizer), [tokenizer.eos_token_id]), ("<A>", "<B>"))
    root = choices.at(())
    logits = np.zeros(len(choices.next_tokens(root)))  # type: ignore[arg-type]
    logits[-1] = value
    assert not choices.weigh(root, logits)  # type: ignore[arg-type]
    assert not choices.weigh(root, np.full(len(logits), -np.inf))  # type: ignore[arg-type]
    assert (choices.probabilities, choices.at(())) == ((), root)
