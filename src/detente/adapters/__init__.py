"""Adapter versions on disk: plain PEFT folders, written once and never changed.

    adapters/NAME/NNNNNN/  adapter_config.json  adapter_model.safetensors  detente.json (which base model it belongs to)

They load in ``PeftModel.from_pretrained`` and in a vLLM server untouched.
"""

from __future__ import annotations

import copy
import hashlib
import json
import logging
import os
import shutil
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from peft import LoraConfig, PeftConfig
from safetensors.torch import save as to_bytes
from torch import Tensor

from detente.adapters import files as adapter_files
from detente.errors import UserError
from detente.files import write_synced
from detente.models import MODELS, LanguageModel
from detente.options import LoraOptions

log = logging.getLogger(__name__)

WEIGHTS, CARD = adapter_files.WEIGHTS, "detente.json"


def lora_config(options: LoraOptions) -> LoraConfig:
    """PEFT's configuration of an adapter that trains, without dropout."""
    targets = options.targets if isinstance(options.targets, str) else list(options.targets)
    return LoraConfig(r=options.rank, lora_alpha=options.alpha, target_modules=targets, lora_dropout=0.0, task_type="CAUSAL_LM")


def version_folder(adapters: Path, name: str, version: int) -> Path:
    """Where that version of a learner's adapter lies."""
    return adapters / name / f"{version:06d}"


def save(folder: Path, weights: Mapping[str, Tensor], config: PeftConfig, base: LanguageModel) -> None:
    """Write a version, whole or not at all."""
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    write_synced(partial / WEIGHTS, to_bytes({key: value.detach().cpu().contiguous() for key, value in weights.items()}))
    config = copy.copy(config)  # the model's own stays as it is
    config.base_model_name_or_path, config.inference_mode = base.folder or base.name, True
    if isinstance(config, LoraConfig) and isinstance(config.target_modules, set):
        config.target_modules = sorted(config.target_modules)  # a set's order differs from process to process
    config.save_pretrained(str(partial))
    card = {"base_model": base.name, "base_fingerprint": base.fingerprint} | ({"base_folder": base.folder} if base.folder else {})
    (partial / CARD).write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)


def remove(folder: Path) -> None:
    """Remove a version, whole or not at all."""
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    folder.rename(partial)
    shutil.rmtree(partial)


def load(folder: Path, base: LanguageModel) -> tuple[dict[str, Tensor], PeftConfig]:
    """Weights and configuration of a version; UserError if it is damaged, not finite, or belongs to another base model."""
    weights, config = adapter_files.read(folder)
    card = _json(folder / CARD) if (folder / CARD).exists() else {}
    trained_on = card.get("base_model", config.base_model_name_or_path)
    fingerprint = card.get("base_fingerprint", base.fingerprint)
    if not base.known_as(fingerprint):
        raise UserError(
            f"The adapter {folder} was trained on the base model '{trained_on}' as it was then, not on '{base.name}' as it is now: "
            "its weights, configuration, tokenizer or chat template are others."
        )
    if fingerprint != base.fingerprint:
        _note_first_numbers(str(folder.parent))
    return weights, config


def named_by(path: Path) -> bool:
    """Whether a folder names an adapter but no version: a run, or RUN/adapters/NAME, where those of one learner lie."""
    return (path / "config.yaml").exists() or any((path / f"{v:06d}" / "adapter_config.json").exists() for v in versions_in(path))


def newest(path: Path, version: int | None = None) -> Path:
    """The adapter folder of a run's only learner, or of RUN/adapters/NAME: the newest version or the one asked for."""
    learner = path if versions_in(path) else _only_learner(path)
    versions = versions_in(learner)
    if version is not None and version not in versions:
        run = path if learner != path else path.parent.parent
        raise UserError(f"The run {run} kept no version {version} of '{learner.name}'; it has {', '.join(map(str, versions))}.")
    return version_folder(learner.parent, learner.name, versions[-1] if version is None else version)


def _only_learner(run: Path) -> Path:
    """Where the versions of a run's only learner lie; UserError where there are several or none is written yet."""
    learners = sorted(p for p in (run / "adapters").iterdir() if p.is_dir()) if (run / "adapters").is_dir() else []
    if len(learners) > 1:
        names = ", ".join(p.name for p in learners)
        raise UserError(f"The run {run} has several learners, {names}; name one of them, such as {learners[0]}.")
    if not learners or not versions_in(learners[0]):
        raise UserError(
            f"The run {run} has no adapter yet; its first is written after opponents.keep_every iterations or at the end."
        )
    return learners[0]


def versions_in(folder: Path) -> list[int]:
    """The versions that are complete, in order."""
    return sorted(int(p.name) for p in folder.iterdir() if p.name.isdecimal()) if folder.is_dir() else []


def trained_on(folder: Path) -> tuple[str, str | None]:
    """Name and fingerprint of the model that an adapter folder belongs to; of a foreign one the name alone, which may be empty."""
    card = _card(folder)
    return str(card.get("base_model") or card.get("base_model_name_or_path") or ""), card.get("base_fingerprint")


def base_of(folder: Path) -> str:
    """The name by which the base model of an adapter folder is found from here.

    A model that was named by its folder is looked for where it was, then under the name that was given: from the working folder,
    and from each folder around the adapter, as they may have moved together. UserError where a model that had a folder is nowhere.
    """
    name, place = trained_on(folder)[0], base_folder(folder)
    around = [] if name in MODELS or Path(name).is_absolute() else [parent / name for parent in folder.resolve().parents]
    for candidate in (*([place] if place else []), name, *map(str, around)):
        if candidate in MODELS or os.path.isfile(os.path.join(candidate, "config.json")):  # no error for a name that is too long
            return candidate
    if place:
        raise UserError(
            f"The base model of the adapter {folder} is neither in {place}, where it was, nor in '{name}', as it was called; "
            "put it back into one of them."
        )
    return name


def base_folder(folder: Path) -> str:
    """Where the base model of an adapter folder lay, of one that was named by its folder; else empty."""
    return str(_card(folder).get("base_folder") or "")


def _card(folder: Path) -> dict[str, Any]:
    return _json(folder / (CARD if (folder / CARD).exists() else "adapter_config.json"))


@cache
def _note_first_numbers(adapters: str) -> None:
    """Once for all versions of a learner."""
    log.warning(
        "The adapters in %s are bound to the first numbers of their base model; new ones are bound to the whole of it.", adapters
    )


def digest(folder: Path) -> str:
    """16 hex digits that identify the weights of a version and how they are applied."""
    identity = hashlib.sha256()
    for name in (WEIGHTS, "adapter_config.json"):
        identity.update((folder / name).read_bytes())
    return identity.hexdigest()[:16]


def _json(path: Path) -> dict[str, Any]:
    try:
        return adapter_files.json_object(path)
    except (OSError, ValueError, RecursionError) as error:
        raise adapter_files.unreadable(path.parent, error) from error
