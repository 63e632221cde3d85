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
from detente.learning.fitting import fitting, kept_bytes, logits_at_once
from detente.needs.chats import Said
from detente.needs.shape import Shape
from detente.options import LearnerConfig

WIDTH = {"float32": 4, "bfloat16": 2}
FLOAT = 4
ROWS, STEP = 8, 128  # as in engines/cache.py
PASS_TOKENS = 16_384  # as in engines/steps.py
PIECE = 256  # as in learning/packing.py
DRAWN = 5  # copies of a row of logits while tokens are drawn: scores, quotient, probabilities, and twice for sums in double
SCORED = 6  # copies of a chunk of logits in loss and backward pass
PREFIXES = 1  # rows of each policy that hold what its chats start with


@dataclass(frozen=True)
class Memory:
    """Bytes by what takes them."""

    always: Mapping[str, float]
    play: Mapping[str, float]
    update: Mapping[str, float]

    @property
    def peak(self) -> float:
        """The most that is held at once."""
        return sum(self.always.values()) + max(sum(self.play.values()), sum(self.update.values()))


def needed(config: Config, shapes: Mapping[str, Shape], said: Said, *, dtype: str, process: float, device: str) -> Memory:
    """Of a run whose base models have these shapes, by name, on a type of ``device``; ``process`` are its bytes without a model."""
    options = {name: config.learner(name) for name in config.learner_names}
    width = WIDTH[dtype]
    weights = sum(shape.parameters for shape in shapes.values()) * width
    learning = sum(
        _adapter(shapes[own.model], own) * len(copies(config, name)) * (2 if own.credit.has_critic(own.algorithm) else 1)
        for name, own in options.items()
    )
    served = sum(_adapter(shapes[own.model], own) * (len(copies(config, name)) + kept(config)) for name, own in options.items())
    widest = max(shapes.values(), key=lambda shape: shape.cached)
    return Memory(
        always={
            "libraries, or the context of a GPU": process,
            "base model": weights,
            "adapters that learn, gradients, Adam": 4 * FLOAT * learning,
            "adapters that are served": FLOAT * served,
        },
        play={
            "key-value cache": cache(config, widest, said, width),
            "play, a pass and its logits": playing(config, widest, said, width),
        },
        update={
            "update, activations": max(activations(config, shapes[own.model], own, said, width) for own in options.values()),
            "update, logits": max(SCORED * FLOAT * max(logits_at_once(device), shape.vocab) for shape in shapes.values()),
        },
    )


def kept(config: Config) -> int:
    """Kept versions of each learner that take part in an iteration late in the run."""
    options = config.opponents
    if not options.kept:
        return 0
    most = config.iterations // options.keep_every
    return min(options.max_loaded, most if options.max_kept is None else min(most, options.max_kept))


def chats_at_once(config: Config) -> int:
    """Chats of language models that are played at the same time."""
    return min(config.episodes, config.concurrency or config.episodes) * len(config.seats)


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


def activations(config: Config, shape: Shape, options: LearnerConfig, said: Said, width: int) -> float:
    """What the largest micro-batch keeps for its backward pass: all layers, or with checkpointing their inputs and one layer."""
    most = options.optimizer.micro_batch_tokens or fitting(shape.layers, shape.hidden, shape.inner)
    fresh = max(1, said.longest - said.opening)  # what a chat does not share with others
    tokens = max(said.longest, min(most, said.opening + fresh * config.episodes * len(config.seats)))
    layer = tokens * kept_bytes(1, shape.hidden, shape.inner, width) + attended(
        shape, tokens, min(fresh, PIECE), said.longest, width
    )
    if options.optimizer.gradient_checkpointing:
        return tokens * shape.layers * shape.hidden * width + layer
    return shape.layers * layer


def attended(shape: Shape, tokens: int, together: int, longest: int, width: int) -> float:
    """Of one layer: queries and outputs in the order of blocks, keys and values for each block of queries, and its mask."""
    keys = tokens / together * longest
    mask = tokens * longest * (shape.heads // shape.groups)
    return width * (2 * tokens * shape.heads * shape.head + 2 * keys * shape.groups * shape.head + mask)


def _adapter(shape: Shape, options: LearnerConfig) -> int:
    return shape.adapter(options.lora.rank, options.lora.targets)
