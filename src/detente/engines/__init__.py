"""Engines continue token ids under a named policy: ``base`` says what one is, ``transformers`` is the in-process one.

Importing this loads no model library; ``open_engine`` does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from detente.engines.grammar import Grammar
    from detente.engines.transformers import TransformersEngine


def grammar_of(model: Any, tokenizer: Any, end_tokens: tuple[int, ...]) -> Grammar:
    """Guided decoding for a model, with as many tokens as it has logits; ``end_tokens`` end an answer."""
    from detente.engines.grammar import Grammar

    return Grammar(tokenizer, model.get_output_embeddings().weight.shape[0], end_tokens)


def open_engine(model: Any, tokenizer: Any, grammar: Grammar) -> TransformersEngine:
    """The engine that serves a model of this process, and the adapters on it."""
    from detente.engines.transformers import TransformersEngine

    return TransformersEngine(model, tokenizer, grammar)
