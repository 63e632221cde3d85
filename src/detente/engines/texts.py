"""From the tokens of an answer to its text. Must not import torch."""

from __future__ import annotations

from typing import Any

from detente.engines.base import THOUGHT_ENDS

MAX_TEXTS = 4096


class Texts:
    """The texts of answers, without special tokens but with the end of a thought where it is one; short ones come often."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        added = tokenizer.added_tokens_decoder.items()
        self._thought_ends = {index for index, token in added if token.special and token.content in THOUGHT_ENDS}
        self._known: dict[tuple[int, ...], str] = {}

    def __call__(self, tokens: tuple[int, ...]) -> str:
        """The text of these tokens."""
        if tokens not in self._known:
            if len(self._known) > MAX_TEXTS:
                self.clear()
            self._known[tokens] = self._decoded(tokens)
        return self._known[tokens]

    def clear(self) -> None:
        """Forget all texts."""
        self._known.clear()

    def _decoded(self, tokens: tuple[int, ...]) -> str:
        parts: list[list[int]] = [[]]
        for token in tokens:
            parts[-1].append(token)
            if token in self._thought_ends:
                parts.append([])
        texts = [self._tokenizer.decode(part, skip_special_tokens=True, clean_up_tokenization_spaces=False) for part in parts]
        return THOUGHT_ENDS[0].join(texts)
