"""The folder of a measurement that goes on where it was stopped: which one it is, and what it was asked for.

arena.yaml, transfer.yaml, worst_case.yaml ── begun ──> what was asked for, None of a new folder
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from detente.errors import UserError
from detente.files import read_text, reason
from detente.plain_yaml import SIZE, parse


def begun(folder: Path, file: str, noun: str, another: str, ours: Collection[str] = ()) -> dict[str, Any] | None:
    """What the measurement in a folder was asked for, which ``file`` holds; None of a folder that is new, or holds at most what is
    ``ours``.

    UserError, with the remedy ``another``, for a folder that holds anything else than this (``noun``), and for a file that is no
    mapping in YAML.
    """
    path = folder / file
    if not path.exists():
        if folder.exists() and {entry.name for entry in folder.iterdir()} - {".lock", f"{file}.partial", *ours}:
            raise UserError(f"The folder {folder} is not empty and is no {noun} (it has no {file}); {another}.")
        return None
    try:
        asked = parse(read_text(path, SIZE))
        if not isinstance(asked, dict):
            raise ValueError("it is no mapping")
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read as the options of this {noun}: {reason(error)}; {another}.") from error
    return asked
