"""What a GPU makes of play and updates: random models of real shapes, and a whole run on pocket.

shape ── random weights, never written ──> session ── play, gradients ──> seconds, share of the measured peak, memory
pocket ── train ──> seconds of a run

Weights need not be real for that: what is computed is the same, only what is said means nothing. Prepared for eight minutes of one
GPU; with ``--device cpu`` and a small shape it runs anywhere, which is how it is tested.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Annotated, Any
from unittest import mock

import typer

from benchmarks import common
from benchmarks.common import say
from benchmarks.tables import Table, digits, show, size
from detente.errors import unknown

SHAPES = ("Qwen/Qwen2.5-0.5B-Instruct", "Qwen/Qwen2.5-7B-Instruct")
OPTIONS = (
    *("evaluation.episodes=0", "algorithm=reinforce", "loss.kl=0", "loss.entropy=0", "loss.entropy_final=null"),
    *("opponents.kept=0", "opponents.scripted=0", "optimizer.gradient_checkpointing=true", "optimizer.micro_batch_tokens=16384"),
)
RUN = ("iterations=3", "evaluation.every=0", "evaluation.episodes=8", "record.episodes_every=1")


def gpu(
    model: Annotated[list[str], typer.Option(help="Published shapes, or sizes as for detente doctor --shape.")] = list(SHAPES),  # noqa: B006
    preset: Annotated[str, typer.Option(help="What is played.")] = "trust_and_split",
    episodes: Annotated[int, typer.Option(help="Of one group.")] = 32,
    rounds: Annotated[int, typer.Option(help="Of each episode.")] = 3,
    rank: Annotated[int, typer.Option(help="Of LoRA, on every linear layer.")] = 32,
    dtype: Annotated[str, typer.Option(help="float32 or bfloat16.")] = "bfloat16",
    device: Annotated[str, typer.Option(help="cpu, cuda, or auto.")] = "auto",
    json: Annotated[Path | None, typer.Option(help="Where the figures go.")] = None,
) -> None:
    """Play, updates and memory of random models of real shapes, and a run on pocket."""
    where = common.default_device(device)
    common.prepare(None)
    rows = []
    for name in model:
        say(f"gpu: {name}, {dtype} on {where}, {episodes} episodes of {preset} with {rounds} rounds")
        rows.append(common.isolated(measured, name, preset, episodes, rounds, rank, dtype, where))
    say("gpu: a run of ipd on pocket")
    show(common.save("gpu", where, {"rows": rows, "run": common.isolated(trained, where)}, json))


def measured(name: str, preset: str, episodes: int, rounds: int, rank: int, dtype: str, device: str) -> dict[str, Any]:
    """One shape: the second play and the second update, after one to warm up."""
    import torch

    from benchmarks import flops
    from benchmarks.chats import chats_of, play
    from detente import config as configs
    from detente.learning.session import open_session
    from detente.needs.chats import measured as said_in
    from detente.needs.memory import Place, needed
    from detente.needs.shape import KNOWN, given

    common.prepare(None)
    if "=" not in name and name not in KNOWN:
        raise unknown("published shape", name, KNOWN)
    shape = given(name) if "=" in name else KNOWN[name]
    words = [*OPTIONS, f"device={device}", f"dtype={dtype}", f"lora.rank={rank}", f"game.rounds={rounds}"]
    config = configs.load(preset, [*words, f"episodes={episodes}", f"group_size={episodes}"])
    with random_model(shape), closing(open_session(config)) as session:
        session.publish()
        learner = session.learners["main"]
        played: list[Any] = []

        def again() -> None:
            played.append(play(session, episodes, group_size=episodes, seed=len(played)))

        play_times = [common.timed(again, device) for _ in range(2)]
        chats = chats_of(session, played[-1])
        update_times = [common.timed(lambda: learner.gradients(chats, 0.0), device) for _ in range(2)]
        peak = flops.product_peak(getattr(torch, dtype), device)
        sizes = flops.shape_of(learner.model.get_base_model())
        operations = {
            way: sum(flops.count(sizes, work(chats), rank=rank, reference=False).values())
            for way, work in (("separate", flops.separate), ("shared", flops.shared))
        }
        said = said_in(played[-1])
        place = Place(torch.device(device).type, 0.0)
        memory = needed(config, {config.model: shape}, said, dtype=dtype, place=place)
    tokens = sum(len(turn.completion.tokens) for episode in played[-1] for turn in episode.turns())
    update_s = update_times[-1].wall
    return {
        "model": name,
        "dtype": dtype,
        "chats": 2 * episodes,
        "longest": said.longest,
        "generated": tokens,
        "play_s": play_times[-1].wall,
        "update_s": update_s,
        "product_peak": peak,
        "share_of_peak": {way: count / update_s / peak["flops_per_s"] for way, count in operations.items()},
        "bytes": {
            "play": play_times[-1].peak,
            "update": update_times[-1].peak,
            "play, doctor": sum(memory.play.values()),
            "update, doctor": sum(memory.update.values()) + memory.always["adapters that learn, gradients, Adam"] / 4,
        },
    }


@contextmanager
def random_model(shape: Any) -> Iterator[None]:
    """Inside, every base model is one of this shape with random weights and the tokenizer of pocket, made on the device."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    from detente import models

    load: Callable[..., Any] = models.load

    def made(name: str, *, dtype: str, device: str) -> models.LanguageModel:
        tokenizer = load("pocket", device="cpu").tokenizer
        options = Qwen2Config(
            vocab_size=shape.vocab,
            hidden_size=shape.hidden,
            intermediate_size=shape.inner,
            num_hidden_layers=shape.layers,
            num_attention_heads=shape.heads,
            num_key_value_heads=shape.groups,
            max_position_embeddings=32_768,
            tie_word_embeddings=shape.tied,
            pad_token_id=None,
        )
        before = torch.get_default_dtype()
        torch.set_default_dtype(getattr(torch, dtype))
        try:
            with models.device_named(device):
                model = Qwen2ForCausalLM._from_config(options, attn_implementation="sdpa")
        finally:
            torch.set_default_dtype(before)
        model.config._name_or_path = model.name_or_path = name
        return models.LanguageModel(name, model.eval(), tokenizer, "random")

    with mock.patch.object(models, "load", made):
        yield


def trained(device: str) -> dict[str, float]:
    """Seconds of a whole run on pocket, and of the rollouts and updates in it."""
    import orjson

    from detente import config as configs
    from detente.learning import loop

    common.prepare(None)
    with tempfile.TemporaryDirectory() as folder:
        run, start = Path(folder) / "run", time.perf_counter()
        loop.train(configs.load("ipd", [*RUN, f"device={device}"]), run)
        lines = [orjson.loads(line) for line in (run / "metrics.jsonl").read_bytes().splitlines()]
        seconds = {what: sum(line[f"time/{what}_s"] for line in lines) for what in ("rollout", "update")}
        return {"whole": time.perf_counter() - start, "iterations": float(len(lines)), **seconds}


def tables(figures: dict[str, Any]) -> list[Table]:
    """Speed, memory against doctor's, and the run."""
    speed = [
        [
            f"{row['model']}, {row['dtype']}",
            f"{row['chats']}, {row['longest']:,}, {row['generated']:,}",
            digits(row["play_s"]),
            digits(row["generated"] / row["play_s"]),
            digits(row["update_s"]),
            digits(row["product_peak"]["flops_per_s"] / 1e12),
            *(f"{100 * row['share_of_peak'][way]:.0f} %" for way in ("separate", "shared")),
        ]
        for row in figures["rows"]
    ]
    memory = [[f"{row['model']}, {row['dtype']}", *_against(row["bytes"])] for row in figures["rows"]]
    run = figures["run"]
    return [
        Table("Play and update of random models", SPEED, speed),
        Table("Memory above the model with its adapters, measured and as doctor says", MEMORY, memory),
        Table(
            "A run of ipd on pocket",
            ["iterations", "whole, s", "rollouts, s", "updates, s"],
            [[f"{run['iterations']:.0f}", *(digits(run[what]) for what in ("whole", "rollout", "update"))]],
        ),
    ]


SPEED = ["model", "chats, longest, generated", "play, s", "tokens/s", "update, s", "peak, TFLOP/s", "apart", "prefixes once"]
MEMORY = ["model", "play", "doctor", "ratio", "update", "doctor", "ratio"]


def _against(held: dict[str, float]) -> Sequence[str]:
    pairs = [(held[phase], held[f"{phase}, doctor"]) for phase in ("play", "update")]
    return [cell for own, said in pairs for cell in (size(int(own)), size(int(said)), digits(said / own) if own else "-")]
