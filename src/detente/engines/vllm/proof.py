"""Is a server what a run needs? Proven before it is used, by a few requests with one short prompt.

    listens ─> base model ─> token ids ─> its log-probabilities are ours ─> divided by the temperature ─> guidance ─> adapters

Each fault is one sentence that says which flag to start the server with.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from detente.backbone import attention, head, lora
from detente.engines.base import Request, Sampling
from detente.engines.grammar import Grammar
from detente.engines.vllm.answers import LIKELIEST, Unusable, body, read
from detente.engines.vllm.server import LOAD, Fault, Served, Server
from detente.errors import ServiceError
from detente.records import PolicyRef

BASE = PolicyRef("base", "the base model")
SEED = 1
TEMPERATURES = (1.0, 2.0)
# One of them begins with a token of several letters, which other backends let begin with its first letters too.
PATTERNS = (
    "Proposal: [0-9]{1,3} coins",
    "<<message_start>>[a-z ]{1,9}<<message_end>>",
    "assistant: [a-z]+",
    "The answer is [0-9]+",
)

Scores = Callable[[float], Tensor]  # temperature -> (V,) our log-probabilities of the token after the prompt


@dataclass(frozen=True)
class Model:
    """The base model of this process that servers must have too; ``names`` it may be served under, or read from; ``prompt`` is a
    chat's first tokens, ``rounding`` the gap in nats that number formats explain."""

    names: Collection[str]
    prompt: Sequence[int]
    grammar: Grammar
    scores: Scores
    rounding: float

    @property
    def name(self) -> str:
        """What a person calls it."""
        return next(iter(self.names))


@dataclass(frozen=True)
class Proven:
    """A server that is what a run needs: the name of its base model, its longest chat and how many adapters it mixes."""

    server: Server
    name: str
    longest: int
    slots: int | None


def base_of(server: Server) -> Served:
    """The base model of a server; ServiceError where nothing listens, or it serves none."""
    try:
        models = server.models()
    except Fault as fault:
        wrong = f"the server {server.url} of engine.urls cannot be asked: {fault}"
        raise ServiceError(
            f"{wrong[0].upper()}{wrong[1:]}; start it with detente serve-engine, and wait until it is ready."
        ) from None
    base = next((model for model in models if not model.adapter), None)
    if base is None:
        raise ServiceError(f"{server.url} lists no model, as a vLLM server does (GET /v1/models); look at engine.urls.")
    return base


def prove(server: Server, served: Served, model: Model) -> Proven:
    """The server with what it allows; ServiceError for the first thing that is not as a run needs it."""
    try:
        _check_scores(server, served.name, model)
        _check_backend(server, served.name, model)
        if not server.has(LOAD):
            raise _wrong(server, "serves no adapters", "VLLM_ALLOW_RUNTIME_LORA_UPDATING=1 in its environment and --enable-lora")
        return Proven(server, served.name, served.longest or 1 << 30, server.slots())
    except Fault as fault:
        raise ServiceError(f"The server {server.url} fails at a first request: {fault}; look at its log.") from None
    except Unusable as reason:
        version = server.version()
        raise ServiceError(f"The server {server.url}{f' (vLLM {version})' if version else ''} {reason}.") from None


def _check_scores(server: Server, name: str, model: Model) -> None:
    """Its log-probabilities are ours, at another temperature too."""
    for temperature in TEMPERATURES:
        scores = _first_place(server, name, model, temperature, None)
        ours = model.scores(temperature)
        gap = max((abs(score - float(ours[token])) for token, score in scores.items()), default=float("inf"))
        if gap <= model.rounding:
            continue
        if temperature == 1:
            known = f"other log-probabilities than '{model.name}' has here (by up to {gap:.2g} nats)"
            flag = f"the weights and tokenizer of '{model.name}', --generation-config vllm and --logprobs-mode processed_logprobs"
            raise _wrong(server, f"tells {known}", flag)
        raise _wrong(server, "tells raw log-probabilities, not those that it draws from", "--logprobs-mode processed_logprobs")


def _check_backend(server: Server, name: str, model: Model) -> None:
    """Where our grammar forces a token, the server allows no other."""
    for pattern in PATTERNS:
        forced = model.grammar.start(pattern).forced
        if forced is None or len(model.grammar.token_bytes(forced)) < 2:
            continue
        if set(_first_place(server, name, model, 1.0, pattern)) != {forced}:
            flag = """--structured-outputs-config '{"backend":"guidance"}'"""
            raise _wrong(server, "guides answers by another backend, whose masks are not those of training", flag)
        return


def _first_place(server: Server, name: str, model: Model, temperature: float, pattern: str | None) -> Mapping[int, float]:
    """The server's log-probabilities of the likeliest tokens after the prompt."""
    request = Request("proof", model.prompt, BASE, SEED, Sampling(temperature, 1), pattern)
    content = body(request, name, tokens=1, end_tokens=sorted(model.grammar.end_tokens), likeliest=True)
    answer = read(server.complete_now(content), request, model.grammar)
    if not answer.scores:
        raise Unusable(f"tells no likeliest tokens; start it with --max-logprobs {LIKELIEST}")
    return answer.scores[0]


def _wrong(server: Server, what: str, flag: str) -> ServiceError:
    return ServiceError(f"The server {server.url} {what}: start it with {flag} (detente serve-engine prints the command).")


def scores_of(model: Any, prompt: Sequence[int]) -> Scores:
    """The log-probabilities (V,) that a model without adapters gives to the token after a prompt, by temperature."""
    device = model.get_input_embeddings().weight.device
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    attention.use(base)
    plan = attention.arguments(attention.SeparateChats((len(prompt),)), torch.arange(len(prompt), device=device))
    with torch.no_grad(), lora.mixed([(None, 0, len(prompt))]):
        states = base.get_decoder()(input_ids=torch.tensor([list(prompt)], device=device), **plan).last_hidden_state[0, -1]
        logits = head.logits(model, states).float()
    return lambda temperature: (logits / temperature).log_softmax(-1).cpu()
