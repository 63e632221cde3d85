"""What identifies a base model: all of its files that decide what it computes, whatever number format it is loaded in.

    folder ── config, chat template, tokenizer, whole weights ──> 16 hex digits ── kept by the files' times and sizes ──> next time

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
WEIGHTS = ("model*.safetensors", "pytorch_model*.bin")  # the first of them that there are is what Transformers takes
SETTINGS = ("config.json", "tokenizer_config.json", "special_tokens_map.json")
# What settings say of who wrote them, where, and how to load: nothing that is computed depends on it.
BESIDE = {
    *("_name_or_path", "name_or_path", "transformers_version", "dtype", "torch_dtype", "use_cache", "is_local", "local_files_only"),
    *("_commit_hash", "tokenizer_file", "special_tokens_map_file", "_from_auto", "attn_implementation", "_attn_implementation"),
}


def fingerprint(folder: Path, kept: Path) -> str:
    """16 hex digits from the model in a folder. ``kept`` is a file of those that are known; it may be missing or read-only."""
    files = _files(folder)
    key, state = str(folder.resolve()), [[file.name, file.stat().st_size, file.stat().st_mtime_ns] for file in files]
    known = _known(kept)
    if isinstance(entry := known.get(key), dict) and entry.get("files") == state and isinstance(entry.get("fingerprint"), str):
        return str(entry["fingerprint"])
    found = hashlib.sha256()
    for file in files:
        found.update(f"{file.name} {_digest(file)}\n".encode())
    known[key] = {"files": state, "fingerprint": found.hexdigest()[:16]}
    with suppress(OSError):
        kept.parent.mkdir(parents=True, exist_ok=True)
        partial = kept.with_name(f"{kept.name}.partial")
        partial.write_text(json.dumps(known, indent=2) + "\n", encoding="utf-8")
        partial.replace(kept)
    return found.hexdigest()[:16]


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
    """Those that decide what the model computes, by name."""
    weights = next((files for pattern in WEIGHTS if (files := list(folder.glob(pattern)))), [])
    return sorted({file for pattern in PARTS for file in folder.glob(pattern) if file.is_file()} | set(weights))


def _digest(file: Path) -> str:
    if file.name in SETTINGS:
        with suppress(ValueError, RecursionError):
            settings = json.loads(file.read_text(encoding="utf-8"))
            return hashlib.sha256(json.dumps(_computing(settings), sort_keys=True).encode()).hexdigest()
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _computing(settings: Any) -> Any:
    """Settings without what nothing computed depends on, at any depth."""
    if isinstance(settings, dict):
        return {key: _computing(value) for key, value in settings.items() if key not in BESIDE}
    return [_computing(value) for value in settings] if isinstance(settings, list) else settings


def _known(kept: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(kept.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, RecursionError):
        return {}
