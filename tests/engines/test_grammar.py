"""Guided decoding against brute force: the `regex` module says which texts can still become a full match."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import regex

from detente.engines import grammar as module
from detente.engines.grammar import Grammar, unpack
from detente.errors import UserError

if TYPE_CHECKING:
    from detente.engines.grammar import GrammarState


PATTERNS = [
    "<A>|<B>",
    "<A>|<AB>|<ABA>",
    "[0-9]{1,3}( points)?",
    "(yes|no|maybe)+!",
    "(ab)?",
    "I propose [0-9]{1,2}, you keep [0-9]{1,2}\\.",
    "[^<]{0,4}",
]


@pytest.fixture(scope="module")
def tokenizer(tiny_model: str) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tiny_model)


@pytest.fixture(scope="module")
def texts(tokenizer: Any) -> dict[int, str]:
    """The text of every token that is plain ASCII and no special token."""
    plain = {i: tokenizer.decode([i]) for i in range(len(tokenizer)) if i not in tokenizer.all_special_ids}
    return {i: text for i, text in plain.items() if text.isascii()}


def make(tokenizer: Any, *more_ends: int) -> Grammar:
    return Grammar(tokenizer, len(tokenizer), [tokenizer.eos_token_id, *more_ends])


def walk(grammar: Grammar, tokenizer: Any, pattern: str, seed: int) -> tuple[list[GrammarState], list[int]]:
    """A random allowed walk to the end of an answer: the nodes, the tokens."""
    rng, node, nodes, tokens = random.Random(seed), grammar.start(pattern), [], []
    while not node.finished:
        nodes.append(node)
        tokens.append(rng.choice(np.flatnonzero(node.allowed()).tolist()))
        node = node.next(tokens[-1])
    return nodes, tokens


@pytest.mark.parametrize("pattern", PATTERNS)
def test_masks_equal_brute_force(tokenizer: Any, texts: dict[int, str], pattern: str) -> None:
    grammar = make(tokenizer)
    for seed in range(8):
        written = ""
        for node, token in zip(*walk(grammar, tokenizer, pattern, seed), strict=True):
            assert node.text.decode(errors="replace") == written
            allowed = set(np.flatnonzero(node.allowed()).tolist())
            expected = {i for i, text in texts.items() if regex.fullmatch(pattern, written + text, partial=True)}
            if regex.fullmatch(pattern, written):
                expected.add(tokenizer.eos_token_id)
            if len(allowed) == 1 and allowed < expected:
                assert decided([texts[i] for i in expected])
            elif pattern == "[^<]{0,4}":  # the only one that takes other bytes than ASCII
                assert {i for i in allowed if i in texts or i == tokenizer.eos_token_id} == expected
            else:
                assert allowed == expected
            assert not allowed & (set(tokenizer.all_special_ids) - {tokenizer.eos_token_id})
            if token not in texts:
                break
            written += texts[token]


def decided(possible: list[str]) -> bool:
    """Each of the texts begins the longest: what is written next is settled and only its tokens are not, so one way is enough."""
    return all(max(possible, key=len).startswith(text) for text in possible)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_finished_walk_is_a_full_match(tokenizer: Any, pattern: str) -> None:
    grammar = make(tokenizer)
    for seed in range(20):
        _, tokens = walk(grammar, tokenizer, pattern, seed)
        assert regex.fullmatch(pattern, tokenizer.decode(tokens, skip_special_tokens=True))


def test_bytes_of_one_letter_stay_together(tokenizer: Any) -> None:
    """A letter of two bytes may be spelled byte by byte, but nothing else may come in between."""
    grammar = make(tokenizer)
    first, second = tokenizer.encode("é", add_special_tokens=False)
    between = grammar.start("[^<]{0,4}").next(first)
    assert between.allowed()[second]
    assert not between.allowed()[tokenizer.encode("a", add_special_tokens=False)[0]]
    assert not between.allowed()[tokenizer.eos_token_id]


def test_forced_tokens(tokenizer: Any) -> None:
    grammar = make(tokenizer)
    node, (digit, letter) = grammar.start("7q"), tokenizer.encode("7q", add_special_tokens=False)
    assert node.forced == digit
    assert node.next(digit).forced == letter
    assert node.next(digit).next(letter).finished
    assert grammar.start("<A>|<B>").forced is None


def test_the_end_token_is_forced_only_where_it_is_the_only_one(tokenizer: Any) -> None:
    pad = tokenizer.pad_token_id
    one, two = make(tokenizer), make(tokenizer, pad)
    digits = tokenizer.encode("123", add_special_tokens=False)
    for grammar in (one, two):
        root = grammar.start("[0-9]{2,3}")
        assert not root.next(digits[0]).allowed()[tokenizer.eos_token_id]
        assert root.next(digits[0]).next(digits[1]).allowed()[tokenizer.eos_token_id]
        assert root.next(digits[0]).next(digits[1]).allowed()[pad] == (grammar is two)
        assert root.next(digits[0]).next(digits[1]).next(tokenizer.eos_token_id).finished
    assert two.start("[0-9]{2,3}").next(digits[0]).next(digits[1]).next(pad).finished


def test_a_token_that_is_not_allowed(tokenizer: Any) -> None:
    node = make(tokenizer).start("<A>|<B>")
    with pytest.raises(ValueError, match="does not continue the pattern"):
        node.next(tokenizer.eos_token_id)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_replay_gives_the_nodes_of_the_walk(tokenizer: Any, pattern: str) -> None:
    grammar, fresh = make(tokenizer), make(tokenizer)
    nodes, tokens = walk(grammar, tokenizer, pattern, 3)
    assert grammar.replay(pattern, tokens) == nodes
    again = fresh.replay(pattern, tokens)
    assert [n.packed.tolist() for n in again] == [n.packed.tolist() for n in nodes]
    assert [n.forced for n in again] == [n.forced for n in nodes]


def test_masks_that_are_kept_are_those_of_a_replay(tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_KEPT", 20)
    grammar = make(tokenizer)
    for pattern in PATTERNS:
        nodes, tokens = walk(make(tokenizer), tokenizer, pattern, 3)
        replayed = grammar.masks(pattern, tokens)
        assert [mask.packed.tolist() for mask in replayed] == [node.packed.tolist() for node in nodes]
        kept = tuple(replayed)
        grammar.keep(pattern, tuple(tokens), kept)
        assert grammar.masks(pattern, tokens) is kept
        assert grammar._num_kept == sum(len(tokens) for _, tokens in grammar._kept)
        assert grammar._num_kept <= 20 + len(tokens)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_bound_on_nodes_changes_nothing(tokenizer: Any, pattern: str, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = [walk(make(tokenizer), tokenizer, pattern, seed) for seed in range(5)]
    monkeypatch.setattr(module, "MAX_STATES", 3)
    bounded = make(tokenizer)
    for seed, (nodes, tokens) in enumerate(expected):
        found, same_tokens = walk(bounded, tokenizer, pattern, seed)
        assert same_tokens == tokens
        assert all((a.allowed() == b.allowed()).all() for a, b in zip(found, nodes, strict=True))
        assert count(bounded.start(pattern)) <= 4


def count(node: GrammarState) -> int:
    return 1 + sum(count(child) for child in node._children.values())


@pytest.mark.parametrize("pattern", ["x[", "(?=a)b", r"(a)\1"])
def test_a_pattern_that_cannot_be_read(tokenizer: Any, pattern: str) -> None:
    with pytest.raises(UserError, match=r"answer pattern .* cannot be used"):
        make(tokenizer).start(pattern)


@pytest.mark.parametrize("extra", [0, 1, 13])
def test_masks_fit_a_vocabulary_that_is_padded(tokenizer: Any, extra: int) -> None:
    """Models round the rows of their head up; the words that no token has are never allowed."""
    size = len(tokenizer) + extra
    node = Grammar(tokenizer, size, [tokenizer.eos_token_id]).start("<A>|<B>")
    assert node.packed.shape == (-(-size // 8),)
    assert node.allowed().shape == (size,)
    assert not node.allowed()[len(tokenizer) :].any()
    finished = node.next(tokenizer.encode("<A>", add_special_tokens=False)[0])
    assert finished.finished
    assert finished.allowed().shape == (size,)
    assert not finished.allowed().any()


def test_unpack_is_numpys_packbits_backwards() -> None:
    bits = np.random.default_rng(0).random((3, 21)) < 0.5
    assert (unpack(np.packbits(bits, axis=-1, bitorder="little"), 21) == bits).all()
