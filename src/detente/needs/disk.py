"""Bytes on disk of a run folder at its end; see docs/disk.md. Must not import torch."""

from __future__ import annotations

from collections.abc import Mapping

from detente.config import Config
from detente.copies import copies
from detente.needs.chats import Said
from detente.needs.shape import Shape

FLOAT = 4
METRICS = 1_500  # bytes of an iteration's line


def stored(config: Config, shapes: Mapping[str, Shape], said: Said) -> dict[str, float]:
    """By part; the adapter of a version is written once, a checkpoint is there twice while the next one is written."""
    written = -(-config.iterations // config.record.episodes_every)
    versions = config.iterations // config.opponents.keep_every
    if config.opponents.max_kept is not None:
        versions = min(versions, config.opponents.max_kept)
    adapters = states = 0.0
    for name in config.learner_names:
        own = config.learner(name)
        adapter = FLOAT * shapes[own.model].adapter(own.lora.rank, own.lora.targets) * len(copies(config, name))
        adapters += adapter * (versions + (config.iterations % config.opponents.keep_every > 0))
        states += 3 * adapter * (2 if own.credit.has_critic(own.algorithm) else 1)
    return {
        "episodes": written * config.episodes * said.stored,
        "adapters": adapters,
        "checkpoints": 2 * states,
        "metrics": float(METRICS * config.iterations),
    }
