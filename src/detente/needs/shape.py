"""The sizes of a decoder: from a model's configuration, from words of the command line, or of a model that is known by name.

config.json | layers=28,hidden=3584,... | Qwen/Qwen2.5-7B-Instruct ──> Shape ──> parameters, numbers of an adapter, cached ones
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from detente.errors import UserError, unknown
from detente.files import read_text

SIZE = 1 << 20  # of a config.json
LARGEST = 1 << 24  # of a number in it


@dataclass(frozen=True)
class Shape:
    """A decoder of the Llama kind: blocks of attention and a gated MLP. ``groups`` are the heads of keys and values."""

    layers: int
    hidden: int
    inner: int
    heads: int
    groups: int
    head: int
    vocab: int
    tied: bool = False
    context: int = 1 << 30

    @property
    def linears(self) -> dict[str, tuple[int, int]]:
        """The (inputs, outputs) of the linear layers of a block, by name."""
        queries, keys = self.heads * self.head, self.groups * self.head
        return {
            "q_proj": (self.hidden, queries),
            "k_proj": (self.hidden, keys),
            "v_proj": (self.hidden, keys),
            "o_proj": (queries, self.hidden),
            "gate_proj": (self.hidden, self.inner),
            "up_proj": (self.hidden, self.inner),
            "down_proj": (self.inner, self.hidden),
        }

    @property
    def body(self) -> int:
        """Numbers in the linear layers."""
        return self.layers * sum(inputs * outputs for inputs, outputs in self.linears.values())

    @property
    def parameters(self) -> int:
        """Numbers in the model: linear layers, norms, embeddings, and the head where it is not the embeddings again."""
        return self.body + (2 * self.layers + 1) * self.hidden + self.vocab * self.hidden * (1 if self.tied else 2)

    @property
    def cached(self) -> int:
        """Numbers that a token leaves in the key-value cache."""
        return 2 * self.layers * self.groups * self.head

    def adapter(self, rank: int, targets: str | tuple[str, ...]) -> int:
        """Numbers in a LoRA adapter on all linear layers, or on those of these names."""
        names = self.linears if isinstance(targets, str) else [name for name in self.linears if name in targets]
        return self.layers * rank * sum(sum(self.linears[name]) for name in names)


KNOWN = {
    "Qwen/Qwen2.5-0.5B-Instruct": Shape(24, 896, 4864, 14, 2, 64, 151_936, True, 32_768),
    "Qwen/Qwen2.5-1.5B-Instruct": Shape(28, 1536, 8960, 12, 2, 128, 151_936, True, 32_768),
    "Qwen/Qwen2.5-3B-Instruct": Shape(36, 2048, 11_008, 16, 2, 128, 151_936, True, 32_768),
    "Qwen/Qwen2.5-7B-Instruct": Shape(28, 3584, 18_944, 28, 4, 128, 152_064, False, 32_768),
    "Qwen/Qwen2.5-14B-Instruct": Shape(48, 5120, 13_824, 40, 8, 128, 152_064, False, 32_768),
    "Qwen/Qwen3-4B": Shape(36, 2560, 9728, 32, 8, 128, 151_936, True, 40_960),
    "Qwen/Qwen3-8B": Shape(36, 4096, 12_288, 32, 8, 128, 151_936, False, 40_960),
    "meta-llama/Llama-3.2-1B-Instruct": Shape(16, 2048, 8192, 32, 8, 64, 128_256, True, 131_072),
    "meta-llama/Llama-3.2-3B-Instruct": Shape(28, 3072, 8192, 24, 8, 128, 128_256, True, 131_072),
    "meta-llama/Llama-3.1-8B-Instruct": Shape(32, 4096, 14_336, 32, 8, 128, 128_256, False, 131_072),
    "mistralai/Mistral-7B-Instruct-v0.3": Shape(32, 4096, 14_336, 32, 8, 128, 32_768, False, 32_768),
}
NEEDED = ("layers", "hidden", "inner", "heads", "vocab")
IN_CONFIG = {
    "layers": "num_hidden_layers",
    "hidden": "hidden_size",
    "inner": "intermediate_size",
    "heads": "num_attention_heads",
    "groups": "num_key_value_heads",
    "head": "head_dim",
    "vocab": "vocab_size",
    "tied": "tie_word_embeddings",
    "context": "max_position_embeddings",
}


def made(sizes: Mapping[str, Any], where: str) -> Shape:
    """The shape of these sizes; ``groups`` are the heads and ``head`` is hidden / heads where they are not given."""
    given = {key: int(value) for key, value in sizes.items() if value is not None}
    for key in NEEDED:
        if key not in given:
            raise UserError(f"{where} has no {key}; a shape needs {', '.join(NEEDED)}.")
    for key, value in given.items():
        if not (0 if key == "tied" else 1) <= value <= (1 if key == "tied" else 1 << 30 if key == "context" else LARGEST):
            raise UserError(f"{where} has {key}={value}, which no model has.")
    given.setdefault("groups", given["heads"])
    given.setdefault("head", max(1, given["hidden"] // given["heads"]))
    if given["heads"] % given["groups"]:
        raise UserError(f"{where} has groups={given['groups']}, which do not divide its {given['heads']} heads.")
    tied = bool(given.pop("tied", 0))
    return Shape(**given, tied=tied)


def of_config(config: Mapping[str, Any], where: str) -> Shape:
    """The shape that a model's configuration describes; of one with several parts that of its text."""
    text = config.get("text_config")
    values = {**config, **text} if isinstance(text, Mapping) else config
    sizes = {key: values.get(name) for key, name in IN_CONFIG.items()}
    for key, value in sizes.items():
        if value is not None and not isinstance(value, int):
            raise UserError(f"{where} has {IN_CONFIG[key]}={str(value)[:40]}, which is no whole number.")
    return made(sizes, where)


def given(words: str) -> Shape:
    """The shape that ``layers=28,hidden=3584,...`` says, or that a config.json or its folder holds."""
    if "=" not in words:
        path = Path(words) / "config.json" if os.path.isdir(words) else Path(words)
        try:
            config = json.loads(read_text(path, SIZE))
        except (OSError, ValueError, RecursionError) as error:
            raise UserError(
                "--shape is the path of a config.json, or sizes such as "
                f"layers=28,hidden=3584,inner=18944,heads=28,groups=4,vocab=152064, not '{words[:80]}'."
            ) from error
        if not isinstance(config, dict):
            raise UserError(f"{path} is no mapping from names to values.")
        return of_config(config, str(path))
    sizes: dict[str, int] = {}
    for word in words.split(","):
        key, _, value = (part.strip() for part in word.partition("="))
        if key not in IN_CONFIG:
            raise unknown("size of a model", key, [field.name for field in fields(Shape)])
        if not value.isdecimal() or len(value) > 12:
            raise UserError(f"--shape has {key}={value[:40]}, which is no whole number.")
        sizes[key] = int(value)
    return made(sizes, "--shape")
