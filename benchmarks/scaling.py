"""How time and memory grow: one thing is varied at a time, the others stay.

    episodes, rounds, tokens per message, adapters  ──> seconds of rollout and of update
    tokens per chat, words in the vocabulary  ──> peak memory of an update, ours and the baseline's

Between neighbouring points stands the local exponent, the slope on logarithmic axes: 0 costs nothing more, 1 is linear, 2 is
quadratic.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import typer

from benchmarks import common
from benchmarks.common import isolated, say
from benchmarks.curves import AXES, draw
from benchmarks.tables import Table, digits, show, size

GAME = "trust_and_split"
CURVES = tuple(AXES)
POINTS: dict[str, Sequence[int]] = {
    "episodes": (8, 16, 32, 64, 128, 256),
    "rounds": (2, 5, 10, 20, 40),
    "message": (8, 32, 96, 192, 384),  # characters at most; the axis is tokens as they came
    "adapters": (1, 2, 4, 8, 16),
    "length": (256, 512, 1024, 2048, 4096),
    "vocabulary": (2048, 8192, 32768, 131072),
}
QUICK: dict[str, Sequence[int]] = {
    "episodes": (8, 16, 32, 64),
    "rounds": (2, 5, 10, 20),
    "message": (8, 32, 96, 192),
    "adapters": (1, 2, 4, 8),
    "length": (256, 512, 1024),
    "vocabulary": (2048, 8192, 32768),
}


def scaling(
    curve: Annotated[list[str], typer.Option(help=", ".join(CURVES))] = list(CURVES),  # noqa: B006
    model: Annotated[str, typer.Option(help="Base model of the curves of time.")] = "pocket",
    device: Annotated[str, typer.Option(help="cpu, cuda, or auto.")] = "auto",
    threads: Annotated[int | None, typer.Option(help="CPU threads of torch (unset: torch decides).")] = None,
    repeats: Annotated[int, typer.Option(help="How often each point is timed.")] = 3,
    episodes: Annotated[int, typer.Option(help="Where they are not what varies.")] = 32,
    quick: Annotated[bool, typer.Option("--quick", help="Fewer and smaller points.")] = False,
    json: Annotated[Path | None, typer.Option(help="Where the figures go; the picture goes beside it.")] = None,
) -> None:
    """Time and memory against the size of the work."""
    where = common.default_device(device)
    points, found = QUICK if quick else POINTS, {}
    for name in curve:
        say(f"scaling, {name}: {', '.join(map(str, points[name]))}")
        measure = memory if name in ("length", "vocabulary") else times
        found[name] = measure(name, points[name], model, where, threads, repeats, episodes)
    figures = {"model": model, "game": GAME, "episodes": episodes, "repeats": repeats, "curves": found}
    result = common.save("scaling", where, figures, json, threads)
    target = json or common.RESULTS / f"scaling-{where}.json"
    draw(figures, target.with_suffix(".png"))
    show(result)


def exponents(xs: Sequence[float], ys: Sequence[float]) -> list[float | None]:
    """The local exponent from each point to the next; None where either does not grow from a positive number."""
    pairs = zip(zip(xs, ys, strict=True), zip(xs[1:], ys[1:], strict=True), strict=False)
    return [math.log(d / b) / math.log(c / a) if min(a, b, c, d) > 0 and c != a else None for (a, b), (c, d) in pairs]


def curve_of(xs: Sequence[float], lines: Mapping[str, Sequence[float]], unit: str) -> dict[str, Any]:
    """A curve as it is written."""
    slopes = {name: exponents(xs, values) for name, values in lines.items()}
    return {"x": list(xs), "unit": unit, "lines": {name: list(values) for name, values in lines.items()}, "exponents": slopes}


# ---- time


def times(
    name: str, points: Sequence[int], model: str, device: str, threads: int | None, repeats: int, episodes: int
) -> dict[str, Any]:
    """Medians of seconds at every point, each in a process of its own."""
    found = [isolated(timed_point, name, point, model, device, threads, repeats, episodes) for point in points]
    lines = {"rollout": [one["rollout_s"] for one in found]}
    if name != "adapters":  # an update is of one adapter
        lines["update"] = [one["update_s"] for one in found]
    return curve_of([one["x"] for one in found], lines, "s")


def timed_point(
    name: str, point: int, model: str, device: str, threads: int | None, repeats: int, episodes: int
) -> dict[str, float]:
    """One iteration's rollout and update, the medians of ``repeats`` after a first one."""
    from benchmarks import chats

    common.prepare(threads)
    more = ["group_size=8", "episodes=8"]
    if name == "rounds":
        more.append(f"game.rounds={point}")
    if name == "message":  # so hot that messages are random and fill the room that they have
        more += [f"game.message_chars={point}", "answer.temperature=20", "answer.max_tokens=1000", "game.rounds=4"]
    dtype = "bfloat16" if common.on_cuda(device) else "float32"
    session = chats.open_on(GAME, model, dtype, device, more=more)
    policies = _others(session, point) if name == "adapters" else []
    count = point if name == "episodes" else episodes
    state: dict[str, Any] = {}

    def rollout() -> None:
        session.publish()
        state["played"] = chats.play(session, count, seed=len(spent["rollout"]), policies=policies)

    def update() -> None:
        session.learners["main"].update(chats.chats_of(session, state["played"]), 0.0)

    spent: dict[str, list[float]] = {"rollout": [], "update": []}
    for _ in range(repeats + 1):
        spent["rollout"].append(common.timed(rollout, device).wall)
        spent["update"].append(common.timed(update, device).wall)
    said = [len(t.completion.tokens) for episode in state["played"] for t in episode.turns() if t.phase == "message"]
    x = sum(said) / len(said) if name == "message" else float(point)
    medians = {f"{part}_s": median(values[1:]) for part, values in spent.items()}
    say(f"  {name} {digits(x)}: " + ", ".join(f"{part} {value:.3g}" for part, value in medians.items()))
    return {"x": x, **medians}


def _others(session: Any, count: int) -> list[Any]:
    """So many adapters, all with weights of their own, served."""
    import torch

    from detente.records import PolicyRef

    policies = [PolicyRef("adapter", f"other{i}", 1) for i in range(count)]
    for i, policy in enumerate(policies):
        generator = torch.Generator().manual_seed(i)
        weights = {k: 0.02 * torch.randn(w.shape, generator=generator) for k, w in session.learners["main"].weights().items()}
        session.hosts["main"].engine.serve(policy, weights, session.learners["main"].lora)
        session.policies.homes[policy] = session.hosts["main"]
    return policies


# ---- memory


def memory(
    name: str, points: Sequence[int], model: str, device: str, threads: int | None, repeats: int, episodes: int
) -> dict[str, Any]:
    """Peak bytes of an update of 8 synthetic chats on small random models, each variant and point in a process of its own."""
    from benchmarks.padded import Setup

    dtype = "bfloat16" if common.on_cuda(device) else "float32"
    lines: dict[str, list[float]] = {"ours": [], "baseline": []}
    for point in points:
        length, words = (point, 8192) if name == "length" else (512, point)
        with random_model(words) as folder:
            for variant, line in lines.items():
                line.append(isolated(_peak, variant, Setup(folder, dtype, device, threads), length, words))
        say(f"  {name} {point}: " + ", ".join(f"{variant} {size(line[-1])}" for variant, line in lines.items()))
    return curve_of([float(point) for point in points], lines, "bytes")


def _peak(variant: str, setup: Any, length: int, words: int) -> int:
    from benchmarks.chats import synthetic
    from benchmarks.steps import peak_of

    return peak_of(variant, setup, synthetic(8, length, words), 8, ())


@contextmanager
def random_model(words: int) -> Iterator[str]:
    """A folder with a small untrained Llama of so many words, and pocket's tokenizer, while the block lasts."""
    with tempfile.TemporaryDirectory(prefix="detente-benchmark-") as folder:
        isolated(build, words, folder)
        yield folder


def build(words: int, folder: str) -> None:
    """Write such a model."""
    from transformers import LlamaConfig, LlamaForCausalLM

    from detente import models

    common.prepare(None)
    config = LlamaConfig(
        vocab_size=words,
        hidden_size=128,
        intermediate_size=384,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=8192,
        tie_word_embeddings=True,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    models.load("pocket", device="cpu").tokenizer.save_pretrained(folder)


def tables(figures: dict[str, Any]) -> list[Table]:
    """A table per curve: the points, and between them how fast it grows."""
    found = []
    for name, curve in figures["curves"].items():
        show_value = size if curve["unit"] == "bytes" else digits
        rows = []
        for i, x in enumerate(curve["x"]):
            cells = [digits(x)]
            for line, values in curve["lines"].items():
                slope = curve["exponents"][line][i - 1] if i else None
                cells += [show_value(values[i]), "" if slope is None else f"{slope:.2f}"]
            rows.append(cells)
        what = "peak memory" if curve["unit"] == "bytes" else "s"
        heads = [head for line in curve["lines"] for head in (f"{line}, {what}", "exponent")]
        found.append(Table(f"Against {AXES[name]}", [AXES[name], *heads], rows))
    return found
