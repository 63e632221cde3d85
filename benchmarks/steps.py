"""The variants of an update, and what is measured of them, each time in a process that was started for it.

variants ── agree? ──> loss, gradient norm ── interleaved ──> seconds ── / necessary operations ──> share of the peak
         └── one by one ──> peak memory above the loaded model
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks import chats, common, flops
from benchmarks.common import Spent, say
from benchmarks.padded import PaddedLearner, Setup, fitting
from detente import models
from detente.learning.batch import Trajectory

SAME = 1e-4  # what loss and gradient norm of ours and the baseline may differ by in fp32, relative
Step = Callable[[Sequence[Trajectory]], tuple[float, float]]


def chats_of(case: str, model: str, device: str, threads: int | None, count: int, length: int, rounds: int, rank: int) -> Any:
    """The chats of a case, made or played."""
    common.prepare(threads)
    if case != "synthetic":
        return chats.played(case, model, device, threads, count, rank, [f"game.rounds={rounds}"])
    words = models.load(model, device="cpu").model.get_output_embeddings().weight.shape[0]
    return chats.synthetic(count, length, words)


def product_peaks(device: str, threads: int | None) -> dict[str, dict[str, float]]:
    """How fast matrices are multiplied in each number format."""
    common.prepare(threads)
    return {name: flops.product_peak(getattr(torch, name), device) for name in ("float32", "bfloat16")}


def our_learner(setup: Setup, options: Sequence[str]) -> Any:
    """A session with one learner whose loss is the baseline's."""
    more = [f"loss.kl={setup.kl}", f"loss.entropy={setup.entropy}", f"loss.importance_cap={setup.cap}", f"optimizer.lr={setup.lr}"]
    return chats.open_on(
        "ipd", setup.model, setup.dtype, setup.device, rank=setup.rank, more=[*more, "optimizer.max_grad_norm=1", *options]
    )


def variant(name: str, setup: Setup, options: Sequence[str]) -> tuple[Step, Mapping[str, Tensor]]:
    """A step on chats with credit, which returns the loss and the norm of its gradient, and the adapter that it trains."""
    if name == "ours":
        learner = our_learner(setup, options).learners["main"]

        def step(found: Sequence[Trajectory]) -> tuple[float, float]:
            metrics = learner.update(found, 0.0)
            return metrics["loss/main"], metrics["grad_norm/main"]

        return step, learner.weights()
    if name == "trl":
        from benchmarks.trl_step import TrlLearner

        return (other := TrlLearner(setup)).step, other.weights()
    return (plain := PaddedLearner(setup)).step, plain.weights()


def shake(weights: Mapping[str, Tensor], seed: int = 0) -> None:
    """The same random numbers in every adapter of this shape, as if it had been trained: a new one has no effect at all."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for _, weight in sorted(weights.items()):
            drawn = torch.randn(weight.shape, generator=generator) * 0.3 / weight.shape[1] ** 0.5
            weight.copy_(drawn)


def measured(
    setup: Setup, found: Sequence[Trajectory], names: Sequence[str], repeats: int, options: Sequence[str] = ()
) -> dict[str, Any]:
    """All figures of one case but memory: the variants in one process, checked to compute the same, then interleaved."""
    common.prepare(setup.threads)
    dtype = getattr(torch, setup.dtype)
    peak = flops.product_peak(dtype, setup.device)
    plain = PaddedLearner(setup)
    shake(plain.weights())
    if not any(one.logprobs.any() for one in found):  # random tokens: they count as drawn from what trains
        found = chats.with_logprobs(found, plain.logprobs(found))
    setup = _sized(setup, found, fitting(found, plain.model, dtype.itemsize, _free(setup.device)))
    plain.setup = setup
    steps: dict[str, Step] = {}
    for name in names:
        step, weights = (plain.step, plain.weights()) if name == "baseline" else variant(name, setup, options)
        shake(weights)
        steps[name] = step
    ready = chats.credited(found)
    agreement = _agreement({name: steps[name](ready) for name in names}, setup.dtype)
    spent = common.interleaved({name: partial(step, ready) for name, step in steps.items()}, repeats, setup.device)
    again = flops.product_peak(dtype, setup.device)
    best = max(peak, again, key=lambda one: one["flops_per_s"])
    counts = {
        way.__name__: flops.count(plain.shape, way(ready), rank=setup.rank, reference=setup.kl > 0)
        for way in (flops.separate, flops.shared)
    }
    row: dict[str, Any] = _row(setup, ready, spent, counts, best)
    return row | {"agreement": agreement}


def _row(
    setup: Setup,
    found: Sequence[Trajectory],
    spent: Mapping[str, list[Spent]],
    counts: Mapping[str, Any],
    peak: Mapping[str, float],
) -> Any:
    needed = {way: sum(parts.values()) for way, parts in counts.items()}
    longest = max(len(one.tokens) for one in found)
    return {
        "model": setup.model,
        "dtype": setup.dtype,
        "chats": len(found),
        "tokens": sum(len(one.tokens) for one in found),
        "padded_tokens": longest * len(found),
        "distinct_tokens": flops.shared(found).tokens,
        "drawn": sum(len(one.drawn) for one in found),
        "rank": setup.rank,
        "kl": setup.kl,
        "entropy": setup.entropy,
        "micro_batch": setup.micro_batch,
        "variants": {name: common.seconds(times) for name, times in spent.items()},
        "ratios": {name: common.ratio(times, spent["ours"]) for name, times in spent.items() if name != "ours"},
        "operations": counts,
        "product_peak": peak,
        "share_of_peak": {
            name: {
                way: operations / common.seconds(times)["wall_s"]["median"] / peak["flops_per_s"]
                for way, operations in needed.items()
            }
            for name, times in spent.items()
        },
    }


def _agreement(results: Mapping[str, tuple[float, float]], dtype: str) -> dict[str, Any]:
    """Loss and gradient norm of each, and how far ours are from the baseline's; ValueError where they are not the same in fp32."""
    (loss, norm), (other_loss, other_norm) = results["ours"], results["baseline"]
    apart = {"loss": abs(loss - other_loss) / max(abs(other_loss), 1e-6), "norm": abs(norm - other_norm) / max(other_norm, 1e-12)}
    say(f"  loss {loss:.6g} and {other_loss:.6g}, gradient norm {norm:.6g} and {other_norm:.6g}")
    if dtype == "float32" and max(apart.values()) > SAME:
        raise ValueError(f"ours and the baseline do not compute the same loss: {results}")
    return {"results": {name: list(result) for name, result in results.items()}, "apart": apart}


def peak_of(name: str, setup: Setup, found: Sequence[Trajectory], micro_batch: int, options: Sequence[str]) -> int:
    """Bytes above the loaded model, its adapter and Adam's moments: the second step, after one on next to nothing."""
    common.prepare(setup.threads)
    setup = _sized(setup, found, micro_batch)
    step, weights = variant(name, setup, options)
    shake(weights)
    words = min(512, 1 + max(int(one.tokens.max()) for one in found))
    step(chats.credited(chats.synthetic(2, 20, words)))  # what is loaded when it is first needed
    ready = chats.credited(found)
    return common.timed(lambda: step(ready), setup.device).peak


def _sized(setup: Setup, found: Sequence[Trajectory], fits: int) -> Setup:
    """The setup with the baseline's micro-batch: as asked for, else all chats, else as many as fit."""
    return replace(setup, micro_batch=setup.micro_batch or min(len(found), fits))


def _free(device: str) -> int:
    """Bytes that may be filled: four fifths of what is free."""
    if common.on_cuda(device):
        return int(0.8 * torch.cuda.mem_get_info(device)[0])
    info = Path("/proc/meminfo")
    lines = dict(line.split(":", 1) for line in info.read_text().splitlines()) if info.exists() else {}
    if "MemAvailable" in lines:
        return int(0.8 * 1024 * int(lines["MemAvailable"].split()[0]))
    return int(0.5 * os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
