"""What identifies a base model: all of its files that decide what it computes, in whatever number format it is loaded.

    folder ── config, chat template, tokenizer, all weights ──> 16 hex digits ── cached by the files' times and sizes ──> next time

Importing it takes the standard library only.
"""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

PARTS = (
    *("config.json", "tokenizer*", "special_tokens_map.json", "added_tokens.json", "vocab*", "merges*", "chat_template*"),
    *("spiece.model", "sentencepiece*", "tekken.json"),
)
INDEX = ".index.json"  # ends the name of a file that says which file each tensor is in
WEIGHTS = tuple(f"{name}{end}" for name in ("model.safetensors", "pytorch_model.bin") for end in ("", INDEX))
SETTINGS = ("config.json", "tokenizer_config.json", "special_tokens_map.json")
# Settings about who wrote the files, where, and how to load them: nothing that is computed depends on them.
IRRELEVANT = {
    *("_name_or_path", "name_or_path", "transformers_version", "dtype", "torch_dtype", "use_cache", "is_local", "local_files_only"),
    *("_commit_hash", "tokenizer_file", "special_tokens_map_file", "_from_auto", "attn_implementation", "_attn_implementation"),
}


def fingerprint(folder: Path, kept: Path) -> str:
    """16 hex digits from the model in a folder. ``kept`` is the file of the cache; it may be missing or read-only."""
    files = _files(folder)
    key, state = str(folder.resolve()), [_state(file) for file in files]
    known = _json(kept)
    if isinstance(entry := known.get(key), dict) and entry.get("files") == state and isinstance(entry.get("fingerprint"), str):
        return str(entry["fingerprint"])
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.name} {_digest(file)}\n".encode())
    known[key] = {"files": state, "fingerprint": digest.hexdigest()[:16]}
    with suppress(OSError):
        kept.parent.mkdir(parents=True, exist_ok=True)
        partial = kept.with_name(f"{kept.name}.partial")
        partial.write_text(json.dumps(known, indent=2) + "\n", encoding="utf-8")
        partial.replace(kept)
    return digest.hexdigest()[:16]


def first_numbers(model: Any) -> str:
    """16 hex digits from the name, the shape and the first 256 numbers of every parameter of a model without adapters.

    The numbers are rounded to bfloat16 first, so that the same weights have the same fingerprint in every number format of a run.
    """
    import torch

    digest = hashlib.sha256(model.config.model_type.encode())
    for name, parameter in model.named_parameters():
        first = parameter.detach().flatten()[:256].to(torch.bfloat16).cpu()
        digest.update(f"{name} {tuple(parameter.shape)}".encode())
        digest.update(first.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


def _files(folder: Path) -> list[Path]:
    """The files that decide what the model computes, by name."""
    return sorted({file for pattern in PARTS for file in folder.glob(pattern) if file.is_file()} | set(_weights(folder)))


def _weights(folder: Path) -> list[Path]:
    """The weights that Transformers loads: the file that the configuration names, else the first usual one, and what it lists."""
    named = _json(folder / "config.json").get("transformers_weights")
    file = next((folder / str(name) for name in (named, *WEIGHTS) if name and (folder / str(name)).is_file()), None)
    if file is None:
        return []
    listed = _json(file).get("weight_map") if file.name.endswith(INDEX) else None
    shards = {folder / str(name) for name in listed.values()} if isinstance(listed, dict) else set()
    return [file, *(shard for shard in shards if shard.is_file())]


def _state(file: Path) -> list[str | int]:
    """Name, size and times of a file: they change when it does, for no program can set the last time."""
    status = file.stat()
    return [file.name, status.st_size, status.st_mtime_ns, status.st_ctime_ns]


def _digest(file: Path) -> str:
    if file.name in SETTINGS:
        with suppress(ValueError, RecursionError):
            settings = json.loads(file.read_text(encoding="utf-8"))
            return hashlib.sha256(json.dumps(_computing(settings), sort_keys=True).encode()).hexdigest()
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _computing(settings: Any) -> Any:
    """The settings without the irrelevant ones, at any depth."""
    if isinstance(settings, dict):
        return {key: _computing(value) for key, value in settings.items() if key not in IRRELEVANT}
    return [_computing(value) for value in settings] if isinstance(settings, list) else settings


def _json(file: Path) -> dict[str, Any]:
    """The JSON object in a file; {} where there is none."""
    try:
        return dict(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, RecursionError):
        return {}
