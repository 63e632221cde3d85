"""Guided decoding: which tokens can still lead to a full match of a regular expression (by llguidance).

    Grammar.start(pattern) ──> GrammarState ── next(token) ──> GrammarState ... until finished

States form a trie that grows as answers are decoded, so a short answer that has come before costs dictionary look-ups. The learner
needs the same masks: those of answers that were decoded here are kept, others are replayed from the recorded tokens. Where the text
that comes next is certain, only the tokens that llguidance spells it with are allowed. Must not import torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from llguidance import LLMatcher, LLTokenizer
from llguidance.hf import from_tokenizer
from numpy.typing import NDArray

from detente.errors import UserError

MAX_STATES = 4096
MAX_KEPT = 1 << 20  # tokens of answers whose masks are kept
FEW = 256


class Mask:
    """Which tokens may come next. States that allow the same tokens share a mask, so that tensors are made of it once."""

    def __init__(self, packed: bytes, vocab_size: int) -> None:
        self._vocab_size = vocab_size
        self.packed: NDArray[np.uint8] = np.frombuffer(packed, dtype=np.uint8)  # (ceil(V / 8),)
        tokens = np.flatnonzero(self.allowed())
        self.count = len(tokens)
        self.tokens: NDArray[np.int64] | None = tokens if self.count <= FEW else None  # (count,) where they are few
        self.forced: int | None = int(tokens[0]) if self.count == 1 else None  # the only token that may come

    def allowed(self) -> NDArray[np.bool_]:
        """(V,) whether each token may come next."""
        return unpack(self.packed, self._vocab_size)


class GrammarState:
    """The state of a grammar inside an answer: which tokens may come next, and the state after each."""

    def __init__(self, grammar: Grammar, matcher: LLMatcher, text: bytes) -> None:
        self._grammar = grammar
        self._matcher = matcher
        self._children: dict[int, GrammarState] = {}
        self._tables: dict[tuple[tuple[str, ...], bool], tuple[NDArray[np.int64], NDArray[np.int64]]] = {}
        self.text = text
        self.finished: bool = matcher.is_stopped()
        size = -(-grammar.vocab_size // 8)
        self.mask = grammar.mask(bytes(size) if self.finished else matcher.compute_bitmask()[:size])
        self.forced = self.mask.forced

    @property
    def packed(self) -> NDArray[np.uint8]:
        """(ceil(V / 8),) the mask, eight tokens to a byte."""
        return self.mask.packed

    def allowed(self) -> NDArray[np.bool_]:
        """(V,) whether each token may come next; none where the answer is finished."""
        return self.mask.allowed()

    def next(self, token: int) -> GrammarState:
        """The state after a token; ValueError if it is not allowed."""
        child = self._children.get(token)
        if child is None:
            matcher = self._matcher.deep_copy()
            if not matcher.consume_token(token):
                raise ValueError(f"token {token} does not continue the pattern: {matcher.get_error()}")
            child = GrammarState(self._grammar, matcher, self.text + self._grammar.token_bytes(token))
            if self._grammar.take_place():
                self._children[token] = child
        return child

    def deciding(self, choices: tuple[str, ...], *, whole: bool = False) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The next tokens (n,), and for each the index of the only choice left after it, -1 where several are.

        ``whole``: choices are certain only when the answer ends, and may have white space around them.
        """
        key = (choices, whole)
        if key not in self._tables:
            tokens = np.flatnonzero(self.allowed())
            settled = [self._settled(int(token), choices, whole) for token in tokens]
            self._tables[key] = (tokens, np.array(settled, dtype=np.int64))
        return self._tables[key]

    def _settled(self, token: int, choices: tuple[str, ...], whole: bool) -> int:
        if self._grammar.ends(token):
            return choices.index(self.text.decode().strip() if whole else self.text.decode())
        if whole:
            return -1
        text = self.text + self._grammar.token_bytes(token)
        possible = [i for i, choice in enumerate(choices) if choice.encode().startswith(text)]
        return possible[0] if len(possible) == 1 else -1


class Grammar:
    """Compiles patterns for one tokenizer. ``end_tokens`` end an answer where the pattern is matched in full.

    ``unguided`` masks answers without a pattern, for the head of a model may have rows that belong to no token. None: all do.
    """

    def __init__(self, tokenizer: Any, vocab_size: int, end_tokens: Sequence[int]) -> None:
        self.vocab_size = vocab_size
        self._tokenizer: LLTokenizer = from_tokenizer(tokenizer, n_vocab=vocab_size, eos_token=list(end_tokens))
        self.end_tokens = frozenset(end_tokens)
        exist = np.zeros(vocab_size, dtype=bool)
        exist[[token for token in tokenizer.get_vocab().values() if token < vocab_size]] = True
        self.unguided: Mask | None = None if exist.all() else Mask(np.packbits(exist, bitorder="little").tobytes(), vocab_size)
        self._roots: dict[str, GrammarState] = {}
        self._masks: dict[bytes, Mask] = {}
        self._kept: dict[tuple[str, tuple[int, ...]], tuple[Mask, ...]] = {}
        self._num_kept = 0
        self._num_states = 0

    def start(self, pattern: str) -> GrammarState:
        """The state before the first token; UserError if llguidance cannot read the pattern."""
        if self._num_states > MAX_STATES:  # start over, so that only what is used is kept
            self._roots, self._masks, self._num_states = {}, {}, 0
        if pattern not in self._roots:
            matcher = LLMatcher(self._tokenizer, LLMatcher.grammar_from_regex(pattern))
            if matcher.is_error():
                reason = " ".join(matcher.get_error().split())
                raise UserError(f"The answer pattern {pattern!r} cannot be used for guided decoding: {reason}.")
            self._roots[pattern] = GrammarState(self, matcher, b"")
        return self._roots[pattern]

    def replay(self, pattern: str, tokens: Sequence[int]) -> list[GrammarState]:
        """The state that each token was drawn from."""
        states = [self.start(pattern)]
        for token in tokens[:-1]:
            states.append(states[-1].next(token))
        return states

    def masks(self, pattern: str, tokens: Sequence[int]) -> Sequence[Mask]:
        """The mask that each token of an answer was drawn from, as it was kept or else from a replay."""
        kept = self._kept.get((pattern, tuple(tokens)))
        return [state.mask for state in self.replay(pattern, tokens)] if kept is None else kept

    def keep(self, pattern: str, tokens: tuple[int, ...], masks: tuple[Mask, ...]) -> None:
        """Remember the masks of an answer, so that they are not made again; forgets all others where there are too many."""
        if self._num_kept > MAX_KEPT:
            self._kept, self._num_kept = {}, 0
        if (pattern, tokens) not in self._kept:
            self._kept[pattern, tokens] = masks
            self._num_kept += len(tokens)

    def mask(self, packed: bytes) -> Mask:
        """The mask of these bytes."""
        if packed not in self._masks:
            self._masks[packed] = Mask(packed, self.vocab_size)
        return self._masks[packed]

    def ends(self, token: int) -> bool:
        """Whether the token ends an answer."""
        return token in self.end_tokens

    def token_bytes(self, token: int) -> bytes:
        """What the token adds to the text; nothing for an end token."""
        return b"" if self.ends(token) else self._tokenizer.decode_bytes([token])

    def take_place(self) -> bool:
        """Whether one more state may be kept; counts it."""
        self._num_states += 1
        return self._num_states <= MAX_STATES


def unpack(packed: NDArray[np.uint8], vocab_size: int) -> NDArray[np.bool_]:
    """(..., ceil(V / 8)) bytes -> (..., V) booleans."""
    return np.unpackbits(packed, axis=-1, bitorder="little")[..., :vocab_size].astype(bool)
