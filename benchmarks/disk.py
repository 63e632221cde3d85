"""What a run leaves on disk: a short real one, by part, and what that comes to in a long one.

    train, iterations = n ──> bytes by part ── per file, times how many a long run keeps ──> bytes of 1,000 iterations

Episodes, metrics and kept adapters grow with the iterations; a checkpoint replaces the one before it; options and summary are
written once. So a long run has ``iterations / record.episodes_every`` episode files, ``iterations / opponents.keep_every`` adapters
of each learner (or ``opponents.max_kept``, where that is set), and the final one.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks import common
from benchmarks.common import isolated, say
from benchmarks.tables import Table, show, size

PARTS = ("episodes", "metrics", "adapters", "checkpoint", "other")
LONG = 1000


def disk(
    preset: Annotated[list[str], typer.Option(help="Presets.")] = ["ipd", "trust_and_split"],  # noqa: B006
    model: Annotated[str, typer.Option(help="Base model.")] = "pocket",
    iterations: Annotated[int, typer.Option(help="Of the short run.")] = 11,
    option: Annotated[list[str], typer.Option("--set", help="key=value: another option of the run.")] = [],  # noqa: B006
    device: Annotated[str, typer.Option(help="cpu, cuda, or auto.")] = "auto",
    threads: Annotated[int | None, typer.Option(help="CPU threads of torch (unset: torch decides).")] = None,
    json: Annotated[Path | None, typer.Option(help="Where the figures go.")] = None,
) -> None:
    """The size of a run on disk, by part, and of one of 1,000 iterations."""
    where = common.default_device(device)
    rows = []
    for name in preset:
        say(f"disk, {name}, {model}: a run of {iterations} iterations")
        rows.append(isolated(measured, name, model, iterations, tuple(option), where, threads))
    show(common.save("disk", where, {"rows": rows}, json, threads))


def measured(
    preset: str, model: str, iterations: int, options: tuple[str, ...], device: str, threads: int | None
) -> dict[str, Any]:
    """Train in a temporary folder and weigh it."""
    from detente import config
    from detente.learning.loop import train

    common.prepare(threads)
    words = [f"model={model}", f"device={device}", f"iterations={iterations}", "evaluation.episodes=4", "evaluation.every=0"]
    options_of = config.load(preset, [*words, *options])
    folder = Path(tempfile.mkdtemp(prefix="detente-benchmark-"))
    try:
        train(options_of, folder / "run")
        found = weighed(folder / "run")
    finally:
        shutil.rmtree(folder)
    record, pool = options_of.record, options_of.opponents
    counts = {
        "episodes": (-(-iterations // record.episodes_every), -(-LONG // record.episodes_every)),
        "metrics": (iterations, LONG),
        "adapters": (_kept(pool, iterations), _kept(pool, LONG)),
    }
    long = {part: bytes * counts[part][1] / counts[part][0] if part in counts else bytes for part, bytes in found.items()}
    return {
        "preset": preset,
        "model": model,
        "iterations": iterations,
        "rank": options_of.lora.rank,
        "episodes": options_of.episodes,
        "episodes_every": record.episodes_every,
        "keep_every": pool.keep_every,
        "max_kept": getattr(pool, "max_kept", None),
        "bytes": found,
        f"bytes_of_{LONG}": long,
        "counts": {part: list(count) for part, count in counts.items()},
    }


def _kept(pool: Any, iterations: int) -> int:
    """Adapters of a learner after so many iterations: the pool's, and the last one unless it is among them."""
    kept: int = iterations // pool.keep_every
    most: int | None = getattr(pool, "max_kept", None)
    return (kept if most is None else min(kept, most)) + (1 if iterations % pool.keep_every else 0)


def weighed(run: Path) -> dict[str, int]:
    """Bytes of a run folder by part; files count with their length."""
    sizes = dict.fromkeys(PARTS, 0)
    for file in run.rglob("*"):
        if file.is_file():
            part = file.relative_to(run).parts[0].partition(".")[0]
            sizes[part if part in PARTS else "other"] += file.stat().st_size
    return sizes


def tables(figures: dict[str, Any]) -> list[Table]:
    """Measured and extrapolated, by part."""
    rows = []
    for row in figures["rows"]:
        long = row[f"bytes_of_{LONG}"]
        name = f"{row['preset']}, {row['model']}"
        rows.append(
            [f"{name}, {row['iterations']} iterations", *(size(row["bytes"][p]) for p in PARTS), size(sum(row["bytes"].values()))]
        )
        rows.append([f"{name}, {LONG:,} iterations", *(size(long[part]) for part in PARTS), size(sum(long.values()))])
        every, most = row["episodes_every"], row["max_kept"]
        written = f"{row['counts']['episodes'][1]:,} files, one in {every}"
        kept = f"{row['counts']['adapters'][1]}" + ("" if most is None else f", at most {most}")
        rows.append(["that is", written, f"{LONG:,} lines", kept, "the newest", "", ""])
    return [Table("Bytes on disk", ["run", *PARTS, "all"], rows)]
