"""What every subject needs: clocks, peak memory, processes of their own, and where figures go.

variants ── interleaved: A B A B ... ──> seconds, medians, ratios ── save ──> SUBJECT-DEVICE.json (figures, command, machine, date)
"""

from __future__ import annotations

import ctypes
import gc
import json
import multiprocessing
import os
import platform
import resource
import shlex
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console

from detente.errors import UserError

RESULTS = Path("runs") / "benchmarks"  # where figures go unless a file is named; those of the docs are in benchmarks/results
console = Console(width=None if sys.stdout.isatty() else 132)
Result = TypeVar("Result")


def say(text: str) -> None:
    """One line of progress."""
    console.print(f"[dim]{time.strftime('%H:%M:%S')}[/dim] {text}", highlight=False)


# ---- time


@dataclass(frozen=True)
class Spent:
    """Seconds on the clock, seconds of all cores of this process together, and bytes held at most above what was held before."""

    wall: float
    cpu: float
    peak: int


def timed(action: Callable[[], object], device: str = "cpu") -> Spent:
    """What one call takes, to the end of its work on the device."""
    gc.collect()
    synchronise(device)
    held = start_peak(device)
    wall, cpu = time.perf_counter(), time.process_time()
    action()
    synchronise(device)
    return Spent(time.perf_counter() - wall, time.process_time() - cpu, peak_since(held, device))


def interleaved(variants: Mapping[str, Callable[[], object]], repeats: int, device: str = "cpu") -> dict[str, list[Spent]]:
    """Every variant in turn, ``repeats`` times over, so that what else the machine does falls on all of them alike."""
    spent: dict[str, list[Spent]] = {name: [] for name in variants}
    for repeat in range(repeats):
        for name, action in variants.items():
            spent[name].append(timed(action, device))
        say(f"  {repeat + 1} of {repeats}: " + ", ".join(f"{name} {times[-1].wall:.3g} s" for name, times in spent.items()))
    return spent


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, least and greatest."""
    return {"median": statistics.median(values), "least": min(values), "greatest": max(values)}


def seconds(spent: Sequence[Spent]) -> dict[str, dict[str, float]]:
    """The figures of one variant."""
    return {"wall_s": spread([one.wall for one in spent]), "cpu_s": spread([one.cpu for one in spent])}


def ratio(theirs: Sequence[Spent], own: Sequence[Spent]) -> dict[str, float]:
    """How many times as fast: the ratio of the medians of wall seconds, and the least and greatest of the pairs."""
    pairs = [a.wall / b.wall for a, b in zip(theirs, own, strict=True)]
    medians = [statistics.median(one.wall for one in some) for some in (theirs, own)]
    return spread(pairs) | {"median": medians[0] / medians[1]}


def on_cuda(device: str) -> bool:
    return device.startswith("cuda")


def synchronise(device: str) -> None:
    """Wait for the device: its work is queued, and a clock read before it is done says nothing."""
    if on_cuda(device):
        import torch

        torch.cuda.synchronize(device)


# ---- memory


def start_peak(device: str = "cpu") -> int:
    """Forget the peak so far; returns the bytes that the process (CPU) or the allocator (GPU) holds now."""
    if on_cuda(device):
        import torch

        torch.cuda.reset_peak_memory_stats(device)
        return int(torch.cuda.memory_allocated(device))
    _trim()
    _forget_peak()
    return _resident("VmRSS")


def peak_since(held: int, device: str = "cpu") -> int:
    """The most bytes held since ``start_peak``, above what was held then."""
    if on_cuda(device):
        import torch

        return int(torch.cuda.max_memory_allocated(device)) - held
    return max(0, _resident("VmHWM") - held)


def _trim() -> None:
    """Give memory that was freed back to the system, so that it is not taken for something that was held already."""
    with suppress(OSError, AttributeError):  # no glibc
        ctypes.CDLL(None).malloc_trim(0)


def _forget_peak() -> None:
    """Let VmHWM start again from what is resident now."""
    with suppress(OSError):  # then the peak is that of the whole process, which is why each variant has a process of its own
        Path("/proc/self/clear_refs").write_text("5")


def _resident(field: str) -> int:
    """Bytes, from the kernel; where it does not say, the peak of the process so far."""
    try:
        lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":" in line)
        return int(lines[field].split()[0]) * 1024
    except (OSError, KeyError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def isolated(function: Callable[..., Result], *arguments: Any) -> Result:
    """The function's result from a process of its own, which ends afterwards; UserError where something killed it."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        try:
            return pool.submit(function, *arguments).result()
        except BrokenProcessPool as error:
            raise UserError("A measurement was killed, mostly for want of memory; try fewer chats or shorter ones.") from error


# ---- device, machine, files


def default_device(device: str) -> str:
    """``auto`` is cuda where there is one."""
    import torch

    return ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device


def prepare(threads: int | None) -> None:
    """What every measuring process does first."""
    import warnings

    warnings.simplefilter("ignore")
    os.environ["TRANSFORMERS_VERBOSITY"] = "error"
    import torch
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    if threads:
        torch.set_num_threads(threads)


def machine(device: str, threads: int | None = None) -> dict[str, Any]:
    """What figures depend on."""
    import torch

    found = {
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": threads or torch.get_num_threads(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "device": torch.cuda.get_device_name(device) if on_cuda(device) else "cpu",
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }
    return found | {package: metadata.version(package) for package in ("torch", "transformers", "peft")}


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.processor())


def save(subject: str, device: str, figures: Any, file: Path | None, threads: int | None = None) -> dict[str, Any]:
    """Write the figures with all that they depend on; returns what was written."""
    result = {
        "subject": subject,
        "command": shlex.join(["python", "-m", "benchmarks", *sys.argv[1:]]),
        "date": date.today().isoformat(),
        "machine": machine(device, threads),
        "figures": figures,
    }
    target = file or RESULTS / f"{subject}-{device.replace(':', '')}.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    say(f"written to {target}")
    return result
