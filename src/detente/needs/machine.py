"""What the device and the disk of this machine have room for. Must not import torch unless a GPU is asked for."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

from detente import models

CPU = "the main memory of this machine"
CONTEXT = 1e9  # bytes that a GPU's driver and kernels take, about
LIBRARIES = 4.2e8  # bytes of Python with torch, Transformers and PEFT in a process, about
TOKENIZER, PER_TOKEN = 2.5e7, 1.3e3  # bytes of a tokenizer with its grammar, and of each of its tokens, about
LIMIT = Path("/sys/fs/cgroup/memory.max")


def named(device: str) -> str:
    """What a run on the device ("auto": the best there is) has its numbers in."""
    if device == "cpu":
        return CPU
    import torch

    where = models.device_named(device)
    return CPU if where.type == "cpu" else torch.cuda.get_device_name(where)


def room(device: str) -> float:
    """Bytes of that."""
    if named(device) == CPU:
        return main_memory()
    import torch

    return float(torch.cuda.mem_get_info(models.device_named(device))[1])


def main_memory() -> float:
    """Bytes of main memory, or what a container may use of it."""
    total = float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    with suppress(OSError, ValueError):  # no such file, or "max"
        total = min(total, float(LIMIT.read_text()))
    return total


def process(vocab: int) -> float:
    """Bytes that this process holds, or would with all libraries, with a tokenizer and the grammar of so many tokens."""
    held = 0.0
    with suppress(OSError, ValueError, IndexError):  # a system that does not say
        held = float(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return max(held, LIBRARIES) + TOKENIZER + PER_TOKEN * vocab


def free_disk(folder: Path) -> float:
    """Bytes free on the disk of a folder, which need not exist yet."""
    there = folder.absolute()
    while not there.exists():
        there = there.parent
    return float(shutil.disk_usage(there).free)
