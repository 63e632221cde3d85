"""A host: a base model in memory, the engine that serves it with all of its adapters, and its chat formats.

    base model (with learners' adapters) ── opened ──> Host <── all policies on this base model: learners, frozen runs, itself

Importing this loads no model library; ``opened`` does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from detente.engines import grammar_of, open_engine
from detente.options import DecodingOptions
from detente.players.chat import ChatFormat
from detente.records import PolicyRef

if TYPE_CHECKING:
    from peft import PeftModel

    from detente.engines.base import Engine
    from detente.engines.grammar import Grammar
    from detente.learning.audit import FirstAnswers
    from detente.models import LanguageModel


@dataclass(frozen=True, eq=False)
class Host:
    """A base model, the engine that serves it and its adapters, and the grammar that constrains answers."""

    base: LanguageModel
    engine: Engine
    grammar: Grammar
    first_answers: FirstAnswers
    chats: dict[bool, ChatFormat] = field(default_factory=dict)  # by whether a thought may stay open

    def chat(self, answer: DecodingOptions) -> ChatFormat:
        """The chat format: the model may think before it answers, unless decoding is constrained from the first token."""
        thinking = answer.decoding != "constrained"
        if thinking not in self.chats:
            self.chats[thinking] = ChatFormat(self.base.tokenizer, thinking=thinking)
        return self.chats[thinking]


def opened(base: LanguageModel, folders: Mapping[PolicyRef, Path], model: PeftModel | None = None) -> Host:
    """Serve a base model, whose first answers are audited; ``model`` is the base with learners' adapters.

    ``folders`` says where adapters lie that are read from the disk.
    """
    from detente.learning.audit import FirstAnswers

    served = base.model if model is None else model
    grammar = grammar_of(served, base.tokenizer, ChatFormat(base.tokenizer).end_tokens)
    engine = open_engine(served, base.tokenizer, grammar)
    engine.audit = FirstAnswers(engine.adapters, grammar, base, folders)
    return Host(base, engine, grammar, engine.audit)
