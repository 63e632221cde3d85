"""Seconds of an iteration, estimated where nothing can be measured: operations against a device's peak, bytes against its memory.

A pass over a token takes two operations for each number in the linear layers; the update goes forward and backward (the base's
weights are frozen), once more forward with checkpointing, and once more for a KL term. A step of play reads all weights and the
cache. Must not import torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from detente.config import Config
from detente.errors import counted
from detente.needs.chats import Said
from detente.needs.memory import WIDTH, chats_at_once, kept
from detente.needs.shape import Shape
from detente.rotation import players_of


@dataclass(frozen=True)
class Device:
    """What a data sheet says of a device, or an average, and the shares of it that are assumed."""

    name: str
    flops: float  # a second, in products of bfloat16
    bytes: float  # a second
    share: float = 0.4  # of the operations
    step: float = 0.03  # seconds that a step of play takes beside reading memory
    adapter: float = 0.0004  # further seconds of a step for every adapter that is served


H100 = Device("an H100 SXM", 989e12, 3.35e12)


def processor(cores: int) -> Device:
    """A CPU of so many cores, as such are on the average."""
    return Device(f"a CPU of {counted(cores, 'core')}", 5e10 * cores, 2e10, step=0.005)


def estimated(config: Config, shapes: Mapping[str, Shape], said: Said, *, dtype: str, device: Device) -> dict[str, float]:
    """Seconds of rollout and update of one iteration; every seat's chats read once, and those of learners learned from."""
    width = WIDTH[dtype]
    largest = max(shapes.values(), key=lambda shape: shape.parameters)
    chats, players = chats_at_once(config), players_of(config)
    turns = config.episodes * players / chats
    reading = (largest.parameters + chats * said.mean / 2 * largest.cached) * width / device.bytes
    steps = said.generated * turns
    read = 2 * largest.body * config.episodes * players * said.mean / (device.flops * device.share)
    rollout = steps * (reading + device.step + kept(config) * device.adapter) + read
    update = 0.0
    for name in config.learner_names:
        own = config.learner(name)
        taken = config.seats.count(name) * players / len(config.seats)
        seats = 1 if config.opponents.train_focal_only else taken
        passes = 2 + own.optimizer.gradient_checkpointing + (own.loss.kl > 0)
        trained = config.episodes * seats * said.mean * (1 - (config.opponents.kept + config.opponents.scripted) / 2)
        update += passes * 2 * shapes[own.model].body * trained * own.optimizer.steps / (device.flops * device.share)
    update /= config.processes
    return {"rollout": rollout, "update": update}
