"""Bytes of a device that a run needs: what is always there, and what play and updates take in turn.

    options, shape of each base model, what is said ──> Memory ── peak = always + the greater of play and update

The parts are those of the code that takes them: engines/cache.py, engines/passes.py, learning/packing.py, learning/loss.py.
Adapters are made of float32, whatever the base model is made of. Must not import torch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from detente.config import Config
from detente.copies import copies
from detente.errors import counted
from detente.learning.fitting import fitting, kept_bytes, logits_at_once
from detente.needs.chats import Said
from detente.needs.shape import Shape
from detente.options import LearnerConfig
from detente.rotation import players_of

WIDTH = {"float32": 4, "bfloat16": 2, "float16": 2}
FLOAT = 4
ROWS, STEP = 8, 128  # as in engines/cache.py
PASS_TOKENS = 16_384  # as in engines/steps.py
PIECE = 256  # as in learning/packing.py
LARGEST_HEAD = 256  # as in learning/segments.py
DRAWN = 5  # copies of a row of logits while tokens are drawn: scores, quotient, probabilities, and twice for sums in double
SCORED = 6  # copies of a chunk of logits in loss and backward pass
GRAPHS = 2e9  # bytes that a vLLM server takes for its context and recorded steps, about
PREFIXES = 1  # rows of each policy that hold what its chats start with


@dataclass(frozen=True)
class Memory:
    """Bytes by what takes them; play and updates in turn, unless they are ``overlapping``."""

    always: Mapping[str, float]
    play: Mapping[str, float]
    update: Mapping[str, float]
    overlapping: bool = False

    @property
    def peak(self) -> float:
        """The most that is held at once."""
        play, update = sum(self.play.values()), sum(self.update.values())
        return sum(self.always.values()) + (play + update if self.overlapping else max(play, update))


@dataclass(frozen=True)
class Place:
    """Where a run computes: the type of ``device``, the bytes of it that a ``process`` takes without a model, and whether it shares
    the device with the vLLM server that plays."""

    device: str
    process: float
    beside_server: bool = False


def needed(config: Config, shapes: Mapping[str, Shape], said: Said, *, dtype: str, place: Place) -> Memory:
    """Of a run whose base models have these shapes, by name."""
    options = {name: config.learner(name) for name in config.learner_names}
    width, serving = WIDTH[dtype], config.engine.kind == "transformers"
    weights = float(sum(shape.parameters for shape in shapes.values()) * width)
    learning = sum(
        _adapter(shapes[own.model], own) * len(copies(config, name)) * (2 if own.credit.has_critic(own.algorithm) else 1)
        for name, own in options.items()
    )
    widest = max(shapes.values(), key=lambda shape: shape.cached)
    always = {
        "libraries, or the context of a GPU": place.process,
        "base model": weights,
        "adapters that learn, gradients, Adam": 4.0 * FLOAT * learning,
    }
    update = {
        "update, activations": max(
            activations(config, shapes[own.model], own, said, dtype, place.device) for own in options.values()
        ),
        "update, logits": float(max(SCORED * FLOAT * max(logits_at_once(place.device), shape.vocab) for shape in shapes.values())),
    }
    others = config.processes - 1 if place.device == "cpu" else 0
    if others:
        always[f"{counted(others, 'other process')} of the update"] = others * (sum(always.values()) + sum(update.values()))
    if not serving:
        always["adapters that are scored again"] = FLOAT * max(_adapter(shapes[own.model], own) for own in options.values())
        if place.beside_server:
            always["vLLM server"] = server(config, shapes, said, width)
        return Memory(always, {}, update)
    always["adapters that are served"] = FLOAT * _served(config, shapes)
    if config.overlap:
        always["base model of play, beside updates"] = weights
    play = {
        "key-value cache": cache(config, widest, said, width),
        "play, a pass and its logits": playing(config, widest, said, width),
    }
    return Memory(always, play, update, overlapping=bool(config.overlap))


def server(config: Config, shapes: Mapping[str, Shape], said: Said, width: int) -> float:
    """Bytes of one of the vLLM servers of a run: the largest base model, adapters in its number format, the cache of its chats."""
    shape = max(shapes.values(), key=lambda shape: shape.parameters)
    chats = math.ceil(chats_at_once(config) / max(1, len(config.engine.urls)))
    return width * (shape.parameters + _served(config, shapes) + chats * said.longest * shape.cached) + GRAPHS


def _served(config: Config, shapes: Mapping[str, Shape]) -> int:
    """Numbers in the adapters that play late in the run."""
    options = {name: config.learner(name) for name in config.learner_names}
    return sum(_adapter(shapes[own.model], own) * (len(copies(config, name)) + kept(config)) for name, own in options.items())


def kept(config: Config) -> int:
    """Kept versions of each learner that take part in an iteration late in the run."""
    options = config.opponents
    if not options.kept:
        return 0
    most = config.iterations // options.keep_every
    return min(options.max_loaded, most if options.max_kept is None else min(most, options.max_kept))


def chats_at_once(config: Config) -> int:
    """Chats of language models that are played at the same time."""
    return min(config.episodes, config.concurrency or config.episodes) * players_of(config)


def cache(config: Config, shape: Shape, said: Said, width: int) -> float:
    """Keys and values of all chats, in blocks of rows and of tokens, and of one layer twice while it grows."""
    policies = len(config.learner_names) + kept(config)
    rows = math.ceil((chats_at_once(config) + PREFIXES * policies) / ROWS) * ROWS
    tokens = math.ceil(said.longest / STEP) * STEP
    return rows * tokens * shape.cached * width * (1 + 1 / shape.layers)


def playing(config: Config, shape: Shape, said: Said, width: int) -> float:
    """A layer's hidden states of the largest pass, and the logits of one token of every chat."""
    chats = chats_at_once(config)
    tokens = min(PASS_TOKENS, chats * max(1.0, said.longest / max(1.0, said.answers)) + said.opening)
    return tokens * (4 * shape.hidden + 3 * shape.inner) * width + DRAWN * FLOAT * chats * shape.vocab


def activations(config: Config, shape: Shape, options: LearnerConfig, said: Said, dtype: str, device: str) -> float:
    """What the largest micro-batch keeps for its backward pass: all layers, or with checkpointing their inputs and one layer.

    Of a chat that is longer than a micro-batch may be, the layers are computed again.
    """
    width, fused = WIDTH[dtype], has_segments(shape, dtype, device)
    most = options.optimizer.micro_batch_tokens or fitting(shape.layers, shape.hidden, shape.inner, device)
    fresh = max(1, said.longest - said.opening)  # what a chat does not share with others
    tokens = min(most, said.opening + fresh * config.episodes * players_of(config))
    recomputed = options.optimizer.gradient_checkpointing

    def held(tokens: int, *, recomputed: bool) -> float:
        together = fresh if fused else min(fresh, PIECE)
        attention = attended(shape, tokens, together, said.longest, width, masked=not fused)
        layer = tokens * kept_bytes(1, shape.hidden, shape.inner, width) + attention
        return tokens * shape.layers * shape.hidden * width + layer if recomputed else shape.layers * layer

    longer = held(said.longest, recomputed=True) if said.longest > most else 0.0
    return max(held(tokens, recomputed=recomputed), longer)


def has_segments(shape: Shape, dtype: str, device: str) -> bool:
    """Whether an update's attention is one call without a mask, as learning/segments.py has it: every GPU that computes in bfloat16
    is new enough; of those that compute in float16 some are not, so these are reckoned with the mask."""
    return device != "cpu" and dtype == "bfloat16" and shape.head <= LARGEST_HEAD and shape.head % 8 == 0


def attended(shape: Shape, tokens: int, together: int, longest: int, width: int, *, masked: bool) -> float:
    """Of one layer: queries and outputs, keys and values for each ``together`` queries, and the mask of those."""
    keys = tokens / together * longest
    mask = tokens * longest * (shape.heads // shape.groups) if masked else 0
    return width * (2 * tokens * shape.heads * shape.head + 2 * keys * shape.groups * shape.head + mask)


def _adapter(shape: Shape, options: LearnerConfig) -> int:
    return shape.adapter(options.lora.rank, options.lora.targets)
