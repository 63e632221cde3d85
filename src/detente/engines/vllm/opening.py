"""From addresses to an engine: the servers that have a base model, proven, behind one VLLMEngine."""

from __future__ import annotations

import logging
from typing import Any

from detente.engine_options import EngineOptions
from detente.engines.vllm.engine import VLLMEngine
from detente.engines.vllm.fleet import Fleet
from detente.engines.vllm.proof import Model, base_of, prove
from detente.engines.vllm.publishing import Published, Write
from detente.engines.vllm.server import Server
from detente.errors import ServiceError

log = logging.getLogger(__name__)


def servers_of(options: EngineOptions) -> list[Server]:
    """The servers that the options name."""
    return [Server(url, options.timeout) for url in options.urls]


def open_vllm(options: EngineOptions, model: Model, tokenizer: Any, write: Write) -> VLLMEngine:
    """The engine of the servers among ``options.urls`` that have this base model; others are left to other base models.

    ServiceError where none has it, or one of them is not what a run needs. ``write`` makes an adapter's folder.
    """
    bases = {server: base_of(server) for server in servers_of(options)}
    chosen = [server for server, base in bases.items() if not {base.name, base.root}.isdisjoint(model.names)]
    if not chosen:
        there = ", ".join(f"'{base.name}' at {server.url}" for server, base in bases.items())
        raise ServiceError(
            f"No server of engine.urls has the base model '{model.name}' (there is {there}): a server has one base model, so start "
            f"another with detente serve-engine {model.name}, and name both."
        )
    proven = [prove(server, bases[server], model) for server in chosen]
    names = {own.name for own in proven}
    if len(names) > 1:
        raise ServiceError(
            f"The servers of '{model.name}' call it {', '.join(sorted(names))}: start all with one --served-model-name."
        )
    slots = [own.slots for own in proven if own.slots is not None]
    return VLLMEngine(
        Fleet(chosen, options.retries),
        Published(options.folder, write),
        proven[0].name,
        model.grammar,
        tokenizer,
        longest=min(own.longest for own in proven),
        slots=min(slots, default=None),
    )
