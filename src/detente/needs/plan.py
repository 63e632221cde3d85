"""Which options would make a run fit, into memory and on a disk.

    Config ── needed, stored ──> too much? ── one option after another, the cheapest first, then as mild as it goes ──> Options

Must not import torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from detente.config import Config
from detente.learning.fitting import FEWEST
from detente.needs.memory import Memory

Options = dict[str, object]  # "group.key" or "key" -> value


@dataclass(frozen=True)
class Changes:
    """Options with other values, and the memory that the run needs with them."""

    options: Options
    memory: Memory


def fitting_options(config: Config, needing: Callable[[Config], Memory], room: float) -> Changes | None:
    """Changes with which the run needs no more than ``room`` bytes, each as mild as it can be; None where none are enough."""
    chosen = _mildest(levers(config), lambda options: needing(changed(config, options)).peak <= room)
    return None if chosen is None else Changes(chosen, needing(changed(config, chosen)))


def smaller_folder(config: Config, storing: Callable[[Config], float], free: float) -> Options | None:
    """Options with which the run folder takes no more than ``free`` bytes, each as mild as it can be; None where none do."""
    return _mildest(disk_levers(config), lambda options: storing(changed(config, options)) <= free)


def levers(config: Config) -> dict[str, Iterator[object]]:
    """Options that a run takes less with, the cheapest first, and their values, the mildest first."""
    optimizer, opponents = config.optimizer, config.opponents
    return {
        "optimizer.gradient_checkpointing": iter([] if optimizer.gradient_checkpointing else [True]),
        "optimizer.micro_batch_tokens": _halves(optimizer.micro_batch_tokens or 4 * FEWEST, FEWEST),
        "concurrency": _halves(min(config.episodes, config.concurrency or config.episodes), 1),
        "opponents.max_loaded": _halves(opponents.max_loaded if opponents.kept else 1, 1),
        "dtype": iter(["bfloat16"] if config.dtype == "float32" else []),
    }


def disk_levers(config: Config) -> dict[str, Iterator[object]]:
    """Options that a run folder is smaller with, those that change no training first, and their values, the mildest first."""
    versions = config.iterations // config.opponents.keep_every
    return {
        "record.episodes_every": _doubles(config.record.episodes_every, config.iterations),
        "opponents.max_kept": _halves(min(versions, config.opponents.max_kept or versions), 1),
    }


def changed(config: Config, options: Mapping[str, object]) -> Config:
    """The run with other values of these options."""
    for name, value in options.items():
        group, _, key = name.rpartition(".")
        update = {group: getattr(config, group).model_copy(update={key: value})} if group else {key: value}
        config = config.model_copy(update=update)
    return config


def _mildest(levers: Mapping[str, Iterator[object]], fits: Callable[[Options], bool]) -> Options | None:
    """Options that fit, each as mild as it can be; None where none are enough."""
    values = {key: list(milder_first) for key, milder_first in levers.items()}
    chosen = _pulled(values, fits)
    for key in list(chosen or ()):
        without = {other: value for other, value in (chosen or {}).items() if other != key}
        milder: Iterator[Options] = ({**without, key: value} for value in values[key])
        chosen = next(options for options in (without, *milder) if fits(options))
    return chosen


def _pulled(values: Mapping[str, list[object]], fits: Callable[[Options], bool]) -> Options | None:
    """The first options that fit, when each is changed as far as it goes before the next is."""
    options: Options = {}
    for key, milder_first in values.items():
        for value in milder_first:
            options[key] = value
            if fits(options):
                return options
    return None


def _halves(number: int, least: int) -> Iterator[int]:
    while number > least:
        number = max(least, number // 2)
        yield number


def _doubles(number: int, most: int) -> Iterator[int]:
    while number < most:
        number = min(most, 2 * number)
        yield number
