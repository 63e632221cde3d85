"""Where the seconds of an update go: PyTorch's profiler over one step of the learner, by operation.

case ── one step to warm up ── one under the profiler ──> seconds, operations and share of the peak of each kind of operation

A matrix product with a side of at most THIN (LoRA's) is a kind of its own, for it multiplies slowly. Seconds are those on the
clock inside an operation, what it waits for included.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks import common
from benchmarks.common import isolated, say
from benchmarks.tables import Table, digits, show
from benchmarks.update import CASES
from detente.errors import unknown

THIN = 64
SHOWN = 14  # kinds of operations that have a line of their own


def profile(
    model: Annotated[str, typer.Option(help="Base model.")] = "smollm2-135m",
    case: Annotated[list[str], typer.Option(help=f"{', '.join(CASES)}; may be repeated.")] = ["synthetic"],  # noqa: B006
    dtype: Annotated[str, typer.Option(help="float32 or bfloat16.")] = "float32",
    device: Annotated[str, typer.Option(help="cpu, cuda, or auto.")] = "auto",
    threads: Annotated[int | None, typer.Option(help="CPU threads of torch (unset: torch decides).")] = None,
    chats: Annotated[int, typer.Option(help="Trajectories in the update.")] = 16,
    length: Annotated[int, typer.Option(help="Tokens of each synthetic trajectory.")] = 512,
    rounds: Annotated[int, typer.Option(help="Rounds of played episodes.")] = 10,
    rank: Annotated[int, typer.Option(help="Of LoRA, on every linear layer.")] = 16,
    json: Annotated[Path | None, typer.Option(help="Where the figures go.")] = None,
) -> None:
    """One update of a learner, operation by operation."""
    from benchmarks.padded import Setup

    for name in case:
        if name not in CASES:
            raise unknown("case", name, CASES)
    where = common.default_device(device)
    setup = Setup(model, dtype, where, threads, rank)
    rows = [isolated(measured, name, setup, chats, length, rounds) for name in case]
    show(common.save("profile", where, {"rows": rows}, json, threads))


def measured(case: str, setup: Any, count: int, length: int, rounds: int) -> dict[str, Any]:
    """A step under the profiler, after one without."""
    import torch
    from torch.profiler import ProfilerActivity

    from benchmarks import chats, flops, steps

    played = steps.chats_of(case, setup.model, setup.device, setup.threads, count, length, rounds, setup.rank)
    say(f"profile, {case}, {setup.model}: {len(played)} chats, {sum(len(chat.tokens) for chat in played)} tokens")
    step, weights = steps.variant("ours", setup, ())
    steps.shake(weights)
    ready = chats.credited(played)
    step(ready)
    peak = flops.product_peak(getattr(torch, setup.dtype), setup.device)
    activities = [ProfilerActivity.CUDA if common.on_cuda(setup.device) else ProfilerActivity.CPU]
    with torch.profiler.profile(activities=activities, record_shapes=True, with_flops=True) as seen:
        spent = common.timed(lambda: step(ready), setup.device)
    again = flops.product_peak(getattr(torch, setup.dtype), setup.device)
    on_device = "self_device_time_total" if common.on_cuda(setup.device) else "self_cpu_time_total"
    events = seen.key_averages(group_by_input_shape=True)
    calls = [(_kind(event.key, event.input_shapes), event.count, getattr(event, on_device) / 1e6, event.flops) for event in events]
    return {
        "case": case,
        "model": setup.model,
        "dtype": setup.dtype,
        "chats": len(played),
        "tokens": sum(len(chat.tokens) for chat in played),
        "wall_s": spent.wall,
        "cpu_s": spent.cpu,
        "product_peak": max(peak, again, key=lambda measured: measured["flops_per_s"]),
        "operations": summed(calls),
    }


def _kind(name: str, shapes: Sequence[Sequence[int]]) -> str:
    """The operation, and whether it is a thin product."""
    matrices = [shape for shape in shapes if len(shape) == 2]
    if name in ("aten::mm", "aten::addmm", "aten::addmm_") and matrices:
        sides = [min(shape) for shape in matrices[-2:]]
        return f"{name.removeprefix('aten::')}, {'thin' if min(sides) <= THIN else 'wide'}"
    return name.removeprefix("aten::")


def summed(calls: Sequence[tuple[str, int, float, float]]) -> list[dict[str, Any]]:
    """The calls, seconds and operations of each kind, the longest first, and the rest as one."""
    sums: dict[str, list[float]] = {}
    for kind, *numbers in calls:
        sums[kind] = [a + b for a, b in zip(sums.get(kind, [0.0] * 3), numbers, strict=True)]
    ordered = sorted(sums.items(), key=lambda item: -item[1][1])
    rest = [sum(column) for column in zip(*(numbers for _, numbers in ordered[SHOWN:]), strict=True)]
    lines = [*ordered[:SHOWN], *([("all others", rest)] if rest else [])]
    return [{"operation": kind, "calls": int(count), "s": s, "flop": flop} for kind, (count, s, flop) in lines]


def tables(figures: dict[str, Any]) -> list[Table]:
    """A table per case."""
    drawn = []
    for row in figures["rows"]:
        peak, whole = row["product_peak"]["flops_per_s"], sum(line["s"] for line in row["operations"])
        title = (
            f"An update of {row['case']}, {row['chats']} chats, {row['tokens']:,} tokens, {row['model']}, {row['dtype']}: "
            f"{digits(row['wall_s'])} s, {digits(row['cpu_s'])} CPU-s; peak {digits(peak / 1e9)} GFLOP/s"
        )
        lines = [
            [
                line["operation"],
                f"{line['calls']:,}",
                digits(line["s"]),
                f"{100 * line['s'] / whole:.0f} %",
                digits(line["flop"] / 1e9) if line["flop"] else "-",
                f"{100 * line['flop'] / line['s'] / peak:.0f} %" if line["flop"] else "-",
            ]
            for line in row["operations"]
        ]
        drawn.append(Table(title, ["operation", "calls", "s", "of the time", "GFLOP", "of the peak"], lines))
    return drawn
