"""Folders that commands fill: files written whole or not at all, one writer at a time, options that stay the same."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import stat
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import orjson

from detente.errors import UserError
from detente.visible import visible

LARGEST = 1 << 28  # bytes of a file of JSON
LONGEST = 300  # characters of a reason
LOCK = ".lock"
LONGEST_NAME = 200  # bytes of a folder's name; file systems stop at 255
PATIENCE_S = 0.5  # to wait for a lock, which ``in_use`` of another process takes for a moment


def folder_name(*parts: str) -> str:
    """The parts with dashes between them, without characters that mean something in a path; a long name ends in a digest of all."""
    name = "-".join(re.sub(r"[^\w.=+@-]+", "_", part) for part in parts)
    if len(name.encode()) <= LONGEST_NAME:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:12]
    return f"{name.encode()[: LONGEST_NAME - 13].decode(errors='ignore')}-{digest}"


def write_synced(path: Path, payload: bytes) -> None:
    """Write a file and wait until it is on the disk, so that no other file names it in vain after a power failure."""
    with path.open("wb") as file:
        file.write(payload)
        file.flush()
        os.fsync(file.fileno())


def replace_text(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    partial = path.with_name(path.name + ".partial")
    write_synced(partial, text.encode())
    partial.replace(path)


def read_text(path: Path, most: int) -> str:
    """The text of a file of at most ``most`` bytes of UTF-8. OSError where it cannot be opened, ValueError for any other file.

    A pipe or a device, which could be read without end, is not opened.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise ValueError("it is no file")
    with path.open("rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise ValueError(f"it has more than {most:,} bytes")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError("it is no text in UTF-8") from None


def reason(error: BaseException) -> str:
    """Why a file cannot be read, as the end of a sentence, without the full stop."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join((text or type(error).__name__).split())[:LONGEST].rstrip(".?")


def read_json(path: Path) -> Any:
    """The content of a file; UserError where there is none or it is no JSON."""
    try:
        return orjson.loads(read_text(path, LARGEST))
    except FileNotFoundError:
        raise UserError(f"There is no file {path}.") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read: {reason(error)}.") from error


@contextmanager
def locked(folder: Path, what: str, remedy: str) -> Iterator[None]:
    """Keep other processes from writing the folder; UserError, which calls it ``what``, where a process does already."""
    with (folder / LOCK).open("w") as lock:
        end = time.monotonic() + PATIENCE_S
        while not _taken(lock, fcntl.LOCK_EX):
            if time.monotonic() > end:
                raise UserError(f"{what} is in use by another process; wait for it or {remedy}.")
            time.sleep(0.02)
        yield


def in_use(folder: Path) -> bool:
    """Whether a process writes the folder at the moment."""
    try:
        with (folder / LOCK).open() as lock:
            return not _taken(lock, fcntl.LOCK_SH)
    except OSError:
        return False


def _taken(lock: IO[str], how: int) -> bool:
    """Take the lock; False where another process keeps it."""
    try:
        fcntl.flock(lock, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def check_same(what: str, stored: Mapping[str, Any], given: Mapping[str, Any], remedy: str) -> None:
    """UserError, naming the options, where ``given`` differs from the options that ``what`` was started with."""
    old, new = dotted(stored), dotted(given)
    differing = [key for key in old | new if old.get(key, "unset") != new.get(key, "unset")]
    if differing:
        key, *others = differing
        also = f" (other options differ too: {', '.join(others)})" if others else ""
        raise UserError(
            f"{what} was started with {key}={old.get(key, 'unset')} and not {new.get(key, 'unset')}{also}; "
            f"{remedy}, or repeat the options it was started with."
        )


def dotted(options: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"credit": {"beta": 2}} -> {"credit.beta": 2}."""
    flat: dict[str, Any] = {}
    for key, value in options.items():
        flat |= dotted(value, f"{prefix}{key}.") if isinstance(value, dict) and value else {prefix + key: value}
    return flat


def short_names(paths: Sequence[Path]) -> list[str]:
    """For each path the shortest end that tells it from the others, in visible characters."""
    parts = [tuple(visible(part, keep="") for part in path.resolve().parts) for path in paths]
    for depth in range(1, max(map(len, parts), default=0) + 1):
        names = ["/".join(p[-depth:]) for p in parts]
        if len(set(names)) == len(set(parts)):
            return names
    return ["/".join(p) for p in parts]
