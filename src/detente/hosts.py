"""A host: a base model in memory, the engine that serves it with all of its adapters, and its chat formats.

    base model (with learners' adapters) ── opened ──> Host <── all policies on this base model: learners, frozen runs, itself

The engine is that of this process or, by the options, vLLM servers with the same base model. Importing this loads no model library;
``opened`` does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from detente.engine_options import EngineOptions
from detente.engines import grammar_of, open_engine
from detente.errors import UserError
from detente.options import DecodingOptions
from detente.players.chat import ChatFormat
from detente.records import PolicyRef

if TYPE_CHECKING:
    from peft import PeftModel

    from detente.engines.base import Engine
    from detente.engines.grammar import Grammar
    from detente.learning.audit import FirstAnswers
    from detente.models import LanguageModel

OPENING = "Do you play <A> or <B>?"  # a chat whose first answer shows whether a server has the same base model


@dataclass(frozen=True, eq=False)
class Host:
    """A base model, the engine that serves it and its adapters, and the grammar that constrains answers.

    ``first_answers`` audits the engine; ``scores`` puts adapters on the learners' model, and is the same where the engine has that
    model too.
    """

    base: LanguageModel
    engine: Engine
    grammar: Grammar
    first_answers: FirstAnswers
    scores: FirstAnswers
    chats: dict[bool, ChatFormat] = field(default_factory=dict)  # by whether a thought may stay open

    def chat(self, answer: DecodingOptions) -> ChatFormat:
        """The chat format: the model may think before it answers, unless decoding is constrained from the first token."""
        thinking = answer.decoding != "constrained"
        if thinking not in self.chats:
            self.chats[thinking] = ChatFormat(self.base.tokenizer, thinking=thinking)
        return self.chats[thinking]


def opened(
    base: LanguageModel,
    folders: Mapping[PolicyRef, Path],
    model: PeftModel | None = None,
    options: EngineOptions = EngineOptions(),  # noqa: B008 (frozen)
    beside: LanguageModel | None = None,
) -> Host:
    """Serve a base model, whose first answers are audited; ``model`` is the base with learners' adapters.

    ``folders`` says where adapters lie that are read from the disk. ``beside`` is the base once more, a copy where the engine is
    that of this process, if the engine is to play in another thread while the model trains. UserError for servers that are not
    what a run needs.
    """
    served: Any = base.model if model is None else model
    chat = ChatFormat(base.tokenizer)
    grammar = grammar_of(served, base.tokenizer, chat.end_tokens)
    own = grammar if beside is None else grammar_of(served, base.tokenizer, chat.end_tokens)  # none is used in two threads
    if options.kind == "vllm":
        return replace(_on_servers(base, folders, served, grammar, chat, options), grammar=own)
    from detente.engines.adapters import Adapters
    from detente.learning.audit import FirstAnswers, tolerance

    engine = open_engine(served if beside is None else beside.model, base.tokenizer, grammar)
    engine.audit = FirstAnswers(engine.adapters, grammar, base, folders, tolerance(base))
    scores = engine.audit if beside is None else FirstAnswers(Adapters(served), grammar, base, folders, tolerance(base))
    return Host(base, engine, own, engine.audit, scores)


def check_reached(options: EngineOptions) -> None:
    """UserError where a server of the options cannot be asked, before models are loaded that take long."""
    if options.kind == "vllm":
        for server in opening().servers_of(options):
            opening().base_of(server)


def opening() -> Any:
    """What opens servers; UserError where the package that talks to them is missing."""
    try:
        from detente.engines.vllm import opening as module
    except ImportError:
        raise UserError("engine.kind=vllm needs the package httpx2; install it with: pip install 'detente[vllm]'.") from None
    return module


def _on_servers(
    base: LanguageModel,
    folders: Mapping[PolicyRef, Path],
    served: Any,
    grammar: Grammar,
    chat: ChatFormat,
    options: EngineOptions,
) -> Host:
    """A host whose engine is vLLM servers. Its audit holds the adapters that it scores beside the learners' in this process."""
    open_vllm = opening().open_vllm
    from detente import adapters, models
    from detente.engines.adapters import Adapters
    from detente.engines.vllm.proof import Model, scores_of
    from detente.learning.audit import FirstAnswers, between

    names = dict.fromkeys((base.name, *filter(None, (base.folder, str(models.folder(base.name))))))
    allowed, prompt = between(base, options.dtype), chat.opening(OPENING)
    model = Model(names, prompt, grammar, scores_of(served, prompt), allowed)
    engine = open_vllm(options, model, base.tokenizer, partial(adapters.save, base=base))
    engine.audit = FirstAnswers(Adapters(served), grammar, base, folders, allowed, engine.folders)
    return Host(base, engine, grammar, engine.audit, engine.audit)
