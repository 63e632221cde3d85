"""The update step: the learner's, forward, reference, backward and Adam, against the common formulation (padded.py) and TRL's.

case, number format ── steps.py ──> seconds, peak memory, share of the machine's peak ──> tables
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks import common
from benchmarks.common import isolated, say
from benchmarks.tables import Table, between, digits, show, size
from detente.errors import UserError, unknown

CASES = ("synthetic", "ipd", "trust_and_split")
SLOW = 0.25  # a number format whose products run at less than this share of fp32's is left out on a CPU


def update(
    model: Annotated[str, typer.Option(help="Base model.")] = "smollm2-135m",
    case: Annotated[list[str], typer.Option(help="synthetic, ipd, trust_and_split; may be repeated.")] = list(CASES),  # noqa: B006
    dtype: Annotated[list[str], typer.Option(help="float32, bfloat16 (none: what the device is good at).")] = [],  # noqa: B006
    device: Annotated[str, typer.Option(help="cpu, cuda, or auto.")] = "auto",
    threads: Annotated[int | None, typer.Option(help="CPU threads of torch (unset: torch decides).")] = None,
    repeats: Annotated[int, typer.Option(help="Steps of each variant that are timed.")] = 5,
    chats: Annotated[int, typer.Option(help="Trajectories in one update.")] = 16,
    length: Annotated[int, typer.Option(help="Tokens of each synthetic trajectory.")] = 512,
    rounds: Annotated[int, typer.Option(help="Rounds of played episodes.")] = 10,
    rank: Annotated[int, typer.Option(help="Of LoRA, on every linear layer.")] = 16,
    kl: Annotated[float, typer.Option(help="KL coefficient (0: no reference).")] = 0.001,
    entropy: Annotated[float, typer.Option(help="Entropy coefficient.")] = 0.01,
    micro_batch: Annotated[int, typer.Option(help="Chats at once in the baseline (0: all, or as many as fit into memory).")] = 0,
    option: Annotated[list[str], typer.Option("--set", help="key=value: another option of our learner.")] = [],  # noqa: B006
    memory: Annotated[bool, typer.Option(help="Measure peak memory as well.")] = True,
    trl: Annotated[bool, typer.Option("--trl", help="Also TRL's GRPO step, where trl is installed.")] = False,
    json: Annotated[Path | None, typer.Option(help="Where the figures go.")] = None,
) -> None:
    """One update of a learner, against the common formulation."""
    from benchmarks import steps
    from benchmarks.padded import Setup

    if trl and find_spec("trl") is None:
        raise UserError("trl is not installed here; docs/performance.md says how to add it.")
    for one in case:
        if one not in CASES:
            raise unknown("case", one, CASES)
    where = common.default_device(device)
    rows: list[dict[str, Any]] = []
    peaks = isolated(steps.product_peaks, where, threads)
    names = ["ours", "baseline", *(["trl"] if trl else [])]
    for one in case:
        found = isolated(steps.chats_of, one, model, where, threads, chats, length, rounds, rank)
        for number in dtype or (["bfloat16"] if common.on_cuda(where) else ["float32", "bfloat16"]):
            if not dtype and (slow := _too_slow(number, peaks)):
                rows.append({"case": one, "model": model, "dtype": number, "skipped": slow})
                say(f"update, {one}, {number}: left out, {slow}")
                continue
            say(f"update, {one}, {number}, {model}: {len(found)} chats, {sum(len(t.tokens) for t in found)} tokens")
            setup = Setup(model, number, where, threads, rank, kl, entropy, micro_batch=micro_batch)
            row = isolated(steps.measured, setup, found, names, repeats, tuple(option))
            if memory:
                row["peak_bytes"] = {n: isolated(steps.peak_of, n, setup, found, row["micro_batch"], tuple(option)) for n in names}
                say("  peak above the model: " + ", ".join(f"{n} {b / 1e9:.3g} GB" for n, b in row["peak_bytes"].items()))
            rows.append({"case": one, **row})
    show(common.save("update", where, {"peaks": peaks, "rows": rows}, json, threads))


def _too_slow(dtype: str, peaks: Mapping[str, Mapping[str, float]]) -> str:
    """Why a number format is left out; nothing where it is not."""
    own, best = peaks[dtype]["flops_per_s"] / 1e9, peaks["float32"]["flops_per_s"] / 1e9
    return f"products run at {own:.3g} GFLOP/s, in float32 at {best:.3g}" if own < SLOW * best else ""


def tables(figures: dict[str, Any]) -> list[Table]:
    """Speed and memory, the share of the peak, and the operations that were counted."""
    rows = [row for row in figures["rows"] if "skipped" not in row]
    left_out = [[f"{row['case']}, {row['model']}, {row['dtype']}", row["skipped"]] for row in figures["rows"] if "skipped" in row]
    found = [
        Table("Seconds per update, median (least to greatest)", SPEED, [cells for row in rows for cells in _speed(row)]),
        Table("Necessary operations per second, and their share of the matrix-product peak", SHARE, [_share(row) for row in rows]),
    ]
    counted = {f"{row['case']}, {row['model']}, {way}": parts for row in rows for way, parts in row["operations"].items()}
    if counted:
        names = list(next(iter(counted.values())))
        body = [[part, *(digits(parts[part] / 1e9) for parts in counted.values())] for part in names]
        body.append(["all", *(digits(sum(parts.values()) / 1e9) for parts in counted.values())])
        found.append(Table("Necessary operations, GFLOP", ["part", *counted], body))
    return found + ([Table("Left out", ["update", "why"], left_out)] if left_out else [])


SPEED = [
    "update",
    "chats, tokens, distinct, drawn",
    "baseline",
    "ours, s",
    "baseline, s",
    "times as fast",
    "ours, CPU-s",
    "baseline, CPU-s",
]
SPEED += ["ours, peak memory", "baseline, peak memory", "ours / baseline"]
SHARE = ["update", "peak, GFLOP/s", "ours, chats apart", "ours, prefixes once", "baseline, chats apart"]


def _speed(row: dict[str, Any]) -> list[list[str]]:
    """A line per baseline."""
    own, lines = row["variants"]["ours"], []
    for name, ratio in row["ratios"].items():
        other, peaks = row["variants"][name], row.get("peak_bytes")
        memory = [size(peaks["ours"]), size(peaks[name]), digits(peaks["ours"] / peaks[name])] if peaks else ["-"] * 3
        what = f"{row['case']}, {row['model']}, {row['dtype']}"
        work = f"{row['chats']}, {row['tokens']:,}, {row['distinct_tokens']:,}, {row['drawn']:,}"
        wall, cpu = "wall_s", "cpu_s"
        seconds = [
            between(own[wall]),
            between(other[wall]),
            between(ratio),
            digits(own[cpu]["median"]),
            digits(other[cpu]["median"]),
        ]
        plain = name if name != "baseline" else f"common, {min(row['micro_batch'], row['chats'])} chats at once"
        lines.append([what, work, plain, *seconds, *memory])
    return lines


def _share(row: dict[str, Any]) -> list[str]:
    ours, plain = row["share_of_peak"]["ours"], row["share_of_peak"]["baseline"]
    shares = [f"{100 * share:.0f} %" for share in (ours["separate"], ours["shared"], plain["separate"])]
    return [f"{row['case']}, {row['model']}, {row['dtype']}", digits(row["product_peak"]["flops_per_s"] / 1e9), *shares]
