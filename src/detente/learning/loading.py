"""Base models in memory with the adapters of a run's learners on them.

Config ── by_base ──> learners that share a base model ── load_learners ──> Trained: the model, its learners
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from peft import LoraConfig, PeftModel, get_peft_model

from detente import adapters, models
from detente.config import Config
from detente.copies import copies, shared_names
from detente.engines.mixing import linear_only
from detente.errors import UserError
from detente.learning.learner import Learner
from detente.models import LanguageModel


@dataclass(frozen=True)
class Trained:
    """A base model in memory, and the learners whose adapters are on it."""

    base: LanguageModel
    model: PeftModel
    learners: dict[str, Learner]


def load_learners(config: Config) -> Iterator[Trained]:
    """Load the base models of a run's learners one after another, and put an adapter of each learner on its own."""
    for names in by_base(config):
        yield _learners(config, names)


def by_base(config: Config) -> list[list[str]]:
    """The learners' names, grouped by base model."""
    together: dict[str, list[str]] = {}
    for name, model in config.models.items():
        together.setdefault(models.own_folder(model) or model, []).extend(copies(config, name))
    return list(together.values())


def _learners(config: Config, names: Sequence[str]) -> Trained:
    """Load the base model that these learners share, and put their adapters on it."""
    shared = shared_names(config)
    options = {name: config.learner(shared[name]) for name in names}
    base = models.load(options[names[0]].model, dtype=config.dtype, device=config.device)
    for name in names:
        _check_name(name, base)
    shapes = {own.lora: linear_only(adapters.lora_config(own.lora), base.model) for own in options.values()}
    loras = {name: shapes[own.lora] for name, own in options.items()}  # those of one shape share what PEFT completes
    with models.LOADING, torch.random.fork_rng():  # one order of random numbers, whatever other threads load
        torch.manual_seed(config.seed)
        model = _adapted(base, names, loras)
        return Trained(base, model, {name: Learner(name, model, options[name], loras[name]) for name in names})


def _adapted(base: LanguageModel, names: Sequence[str], loras: Mapping[str, LoraConfig]) -> PeftModel:
    """The base model with an adapter of each name; UserError for modules that it does not have."""
    name, *more = names
    try:
        model = get_peft_model(base.model, loras[name], adapter_name=name)
        for name in more:
            model.add_adapter(name, loras[name])
    except ValueError as error:  # raised by PEFT
        targets = loras[name].target_modules or ()
        named = targets if isinstance(targets, str) else f"[{','.join(sorted(targets))}]"
        raise UserError(f"lora.targets={named} does not fit the model '{base.name}'.") from error
    return model


def _check_name(name: str, base: LanguageModel) -> None:
    """UserError for a learner with the name of a module: PEFT finds an adapter's tensors by the adapter's name."""
    taken = {part for path, _ in base.model.named_modules() for part in path.split(".")}
    if name in taken:
        raise UserError(f"A learner cannot be named '{name}', which is the name of a part of the model; give it another.")
