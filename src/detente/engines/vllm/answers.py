"""A request as a vLLM server takes it, and what it answers, of which nothing is believed unchecked.

    Request ── body ──> JSON          JSON ── read ──> tokens, their log-probabilities, those of the likeliest tokens in each place

Must not import torch.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from detente.engines.base import Request
from detente.engines.grammar import Grammar, Mask

LIKELIEST = 20  # tokens whose log-probabilities a server tells in each place; as many as vLLM tells unasked at most
IMPOSSIBLE = -1e3  # vLLM writes minus infinity as -9999
ROUNDING = 1e-3  # nats by which a log-probability may be above 0

Scores = Mapping[int, float]


@dataclass(frozen=True, slots=True)
class Answer:
    """The tokens of an answer; ``logprobs`` of each, and ``scores``: in each place, log-probabilities of the likeliest tokens that
    may stand there, all of them where they are fewer than LIKELIEST."""

    tokens: tuple[int, ...]
    logprobs: tuple[float, ...]
    scores: tuple[Scores, ...]
    cut: bool


class Unusable(Exception):  # noqa: N818 (a part of a sentence)
    """Why an answer cannot be used, as the end of "The server X ..."."""


def body(request: Request, model: str, *, tokens: int, end_tokens: Sequence[int], likeliest: bool) -> dict[str, Any]:
    """What a server is sent; ``tokens`` is the most that it may answer, ``likeliest`` asks for the scores. Nothing is left to the
    defaults of a model."""
    content = {
        "model": model,
        "prompt": list(request.tokens),
        "add_special_tokens": False,
        "max_tokens": tokens,
        "seed": request.seed,
        "temperature": request.sampling.temperature,
        "top_p": 1.0,
        "top_k": 0,
        "min_p": 0.0,
        "repetition_penalty": 1.0,
        "stop_token_ids": sorted(end_tokens),
        "logprobs": LIKELIEST if likeliest else 0,
        "return_token_ids": True,
        "return_tokens_as_token_ids": True,
    }
    return content if request.pattern is None else content | {"structured_outputs": {"regex": request.pattern}}


def read(said: Mapping[str, Any], request: Request, grammar: Grammar) -> Answer:
    """The answer, up to where our grammar ends it; Unusable where it is none, or has a token that may not stand there."""
    choice = _first(said.get("choices"))
    tokens, logprobs = choice.get("token_ids"), choice.get("logprobs")
    if not isinstance(tokens, list) or not tokens:
        raise Unusable("answers without token ids; it has to be vLLM 0.12 or newer")
    if not all(type(token) is int and 0 <= token < grammar.vocab_size for token in tokens):
        raise Unusable("answers with tokens that the model has not")
    inner = logprobs if isinstance(logprobs, dict) else {}
    own, likeliest = inner.get("token_logprobs"), inner.get("top_logprobs")
    if not isinstance(own, list) or len(own) != len(tokens) or not all(map(_is_logprob, own)):
        raise Unusable("answers without log-probabilities of its tokens")
    length = len(tokens) if request.pattern is None else _length(request.pattern, tokens, grammar)
    places = likeliest if isinstance(likeliest, list) else []
    scores = tuple(_scores(place) for place in places[:length])
    kept = tuple(min(0.0, logprob) for logprob in own[:length])
    return Answer(tuple(tokens[:length]), kept, scores, choice.get("finish_reason") == "length")


def _length(pattern: str, tokens: Sequence[int], grammar: Grammar) -> int:
    """How many of the tokens are the answer: a server adds an end token where our grammar has ended already. Masks are kept."""
    state, masks = grammar.start(pattern), list[Mask]()
    for place, token in enumerate(tokens):
        if state.finished:
            if not all(map(grammar.ends, tokens[place:])):
                raise Unusable("goes on after the end of a pattern; its grammar backend has to be guidance")
            break
        masks.append(state.mask)
        try:
            state = state.next(token)
        except ValueError:
            raise Unusable(
                f"answers with token {token}, which the pattern forbids; its grammar backend has to be guidance"
            ) from None
    grammar.keep(pattern, tuple(tokens[: len(masks)]), tuple(masks))
    return len(masks)


def _scores(place: Any) -> Scores:
    """``{"token_id:462": -0.1}`` -> {462: -0.1}, without the tokens that cannot be."""
    named = ((re.fullmatch(r"token_id:(\d+)", key), value) for key, value in (place or {}).items())
    return {int(key[1]): float(value) for key, value in named if key and _is_logprob(value) and value > IMPOSSIBLE}


def _first(choices: Any) -> Mapping[str, Any]:
    first = choices[0] if isinstance(choices, list) and choices else None
    return first if isinstance(first, dict) else {}


def _is_logprob(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value) and value <= ROUNDING
