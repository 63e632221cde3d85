"""Reading the two files of a LoRA adapter folder, which may come from anywhere: nothing in them is believed unchecked.

adapter_config.json ── check ──> LoraConfig          adapter_model.safetensors ── check ──> finite tensors of that rank
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from peft import LoraConfig, PeftConfig, PeftType
from safetensors.torch import load_file
from torch import Tensor

from detente.errors import UserError
from detente.files import LARGEST, read_text
from detente.finite import fault
from detente.options import LARGE

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
MOST_REPEATS = 6  # in a pattern of modules
USUAL_RANK = 1024  # up to which a configuration may name a rank that no tensor has


def read(folder: Path) -> tuple[dict[str, Tensor], PeftConfig]:
    """Weights and configuration; UserError that names the folder and what is wrong in it.

    Adapters of other methods than LoRA are read too; engines refuse them.
    """
    try:
        _check_config(json_object(folder / CONFIG))
        if (folder / WEIGHTS).exists() and not (folder / WEIGHTS).is_file():
            raise ValueError(f"{WEIGHTS} is no file")
        config = PeftConfig.from_pretrained(str(folder))
        weights: dict[str, Tensor] = load_file(folder / WEIGHTS)
        if reason := fault(weights):
            raise ValueError(reason)
        if isinstance(config, LoraConfig):
            _check_ranks(weights, config)
    except Exception as error:  # a library may raise anything for a foreign file
        raise unreadable(folder, error) from error
    return weights, config


def json_object(path: Path) -> dict[str, Any]:
    """What a JSON file holds, which is an object; ValueError, OSError or RecursionError."""
    content = json.loads(read_text(path, LARGEST))
    if not isinstance(content, dict):
        raise ValueError(f"{path.name} holds no JSON object")
    return content


def unreadable(folder: Path, error: Exception) -> UserError:
    """One sentence about an adapter folder that cannot be used."""
    reason = "a file is nested too deeply" if isinstance(error, RecursionError) else " ".join(str(error).split()).rstrip(".")
    return UserError(f"{folder} cannot be read as a PEFT adapter folder: {reason or type(error).__name__}.")


def _check_config(config: Mapping[str, Any]) -> None:
    """ValueError unless the numbers that decide the adapter's size and strength are what they should be."""
    if config.get("peft_type") not in [*PeftType]:
        raise ValueError(f"its peft_type is {config.get('peft_type')!r}, not LORA")
    if config["peft_type"] != PeftType.LORA:
        return
    for key, check in (("r", _check_rank), ("lora_alpha", _check_alpha)):
        if key not in config:
            raise ValueError(f"its configuration has no {key}")
        check(key, config[key])
    for key, check in (("rank_pattern", _check_rank), ("alpha_pattern", _check_alpha)):
        patterns = config.get(key) or {}
        if not isinstance(patterns, dict):
            raise ValueError(f"its {key} is no JSON object")
        for name, value in patterns.items():
            check(f"{key} of '{name}'", value)
            _check_pattern(key, name)
    for key in ("target_modules", "exclude_modules", "layers_pattern"):
        named = config.get(key)
        for pattern in [named] if isinstance(named, str) else []:
            _check_pattern(key, pattern)


def _check_pattern(key: str, pattern: str) -> None:
    """ValueError for a regular expression that may take for ever: with a repeat of what repeats something, or very many of them."""
    open_groups, repeats = [0], 0  # how often something is repeated, in each group that is open
    for i, sign in enumerate(pattern):
        repeated = pattern[i + 1 : i + 2] in ("*", "+", "{")
        if sign == "(":
            open_groups.append(0)
        elif sign == ")" and len(open_groups) > 1:
            inside = open_groups.pop()
            if inside and repeated:
                raise ValueError(f"its {key} repeats what repeats something, {_short(pattern)}; name the modules")
            open_groups[-1] += inside
        if repeated:
            open_groups[-1], repeats = open_groups[-1] + 1, repeats + 1
    if repeats > MOST_REPEATS:
        raise ValueError(f"its {key} has {repeats} repeats, {_short(pattern)}; name the modules")


def _check_rank(key: str, value: Any) -> None:
    if type(value) is not int or value < 1:
        raise ValueError(f"its {key} is {value!r} and not a whole number from 1 on")


def _check_alpha(key: str, value: Any) -> None:
    if type(value) not in (int, float) or not 0 < value <= LARGE:
        raise ValueError(f"its {key} is {_short(value)} and not a number between 0 and {LARGE:g}")


def _check_ranks(weights: Mapping[str, Tensor], config: LoraConfig) -> None:
    """ValueError unless the tensors have the ranks that the configuration names, so that it cannot ask for endless memory."""
    ranks = {len(tensor) for key, tensor in weights.items() if "lora_A" in key or "lora_embedding_A" in key}
    named = {config.r, *(config.rank_pattern or {}).values()}
    if not ranks:
        raise ValueError("it holds no LoRA matrices")
    if not ranks <= named or max(named) > max(USUAL_RANK, *ranks):
        raise ValueError(f"its configuration names rank {_listed(named)} and its tensors have rank {_listed(ranks)}")


def _listed(numbers: set[int]) -> str:
    return ", ".join(map(str, sorted(numbers)))


def _short(value: Any) -> str:
    return repr(value)[:40] if not isinstance(value, float) or math.isfinite(value) else "NaN" if math.isnan(value) else "infinite"
