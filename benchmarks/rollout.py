"""The rollout: the in-process engine against ``generate`` on whole chats (generate.py), on the same games.

episodes by either ── interleaved ──> seconds, tokens per second, and the mean length of answers, which must be alike
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks import common
from benchmarks.common import isolated, say
from benchmarks.tables import Table, between, digits, show, size

SIZES = {"trust_and_split": 64, "ipd": 128}  # episodes
ON_A_CPU = {"trust_and_split": 8, "ipd": 16}  # of a model that is not tiny: the baseline takes minutes for these


def rollout(
    model: Annotated[list[str], typer.Option(help="Base models.")] = ["pocket", "smollm2-135m"],  # noqa: B006
    game: Annotated[list[str], typer.Option(help="trust_and_split, ipd; presets.")] = list(SIZES),  # noqa: B006
    dtype: Annotated[str, typer.Option(help="float32 or bfloat16 (unset: bfloat16 on a GPU).")] = "",
    device: Annotated[str, typer.Option(help="cpu, cuda, or auto.")] = "auto",
    threads: Annotated[int | None, typer.Option(help="CPU threads of torch (unset: torch decides).")] = None,
    repeats: Annotated[int, typer.Option(help="Rollouts of each variant that are timed.")] = 5,
    episodes: Annotated[
        int, typer.Option(help="Episodes (0: 64 of trust_and_split, 128 of ipd; fewer where a CPU runs a big model).")
    ] = 0,
    rounds: Annotated[int, typer.Option(help="Rounds of each.")] = 10,
    rank: Annotated[int, typer.Option(help="Of the LoRA adapter that plays.")] = 16,
    json: Annotated[Path | None, typer.Option(help="Where the figures go.")] = None,
) -> None:
    """Playing episodes, against a generation call per turn."""
    where = common.default_device(device)
    number = dtype or ("bfloat16" if common.on_cuda(where) else "float32")
    rows = []
    for name in model:
        for preset in game:
            small = name == "pocket" or common.on_cuda(where)
            count = episodes or (SIZES if small else ON_A_CPU).get(preset, 16)
            say(f"rollout, {preset}, {name}, {number}: {count} episodes of {rounds} rounds")
            rows.append(isolated(measured, preset, name, number, where, threads, repeats, count, rounds, rank))
    show(common.save("rollout", where, {"rows": rows}, json, threads))


def measured(
    preset: str, model: str, dtype: str, device: str, threads: int | None, repeats: int, episodes: int, rounds: int, rank: int
) -> dict[str, Any]:
    """Both variants in this process."""
    from benchmarks.chats import open_on

    common.prepare(threads)
    session = open_on(preset, model, dtype, device, rank=rank, more=[f"game.rounds={rounds}", "episodes=2", "group_size=2"])
    players = {"ours": ours(session), "baseline": baseline(session)}
    played: dict[str, list[Any]] = {name: [] for name in players}

    def run(name: str) -> Callable[[], None]:
        return lambda: played[name].append(players[name](episodes, len(played[name])))

    for play in players.values():
        play(1, -1)  # what is loaded or compiled when it is first needed
    spent = common.interleaved({name: run(name) for name in players}, repeats, device)
    return {
        "game": preset,
        "model": model,
        "dtype": dtype,
        "episodes": episodes,
        "rounds": rounds,
        "rank": rank,
        "max_tokens": session.config.answer.max_tokens,
        "variants": {
            name: common.seconds(times)
            | {"peak_bytes": max(one.peak for one in times)}
            | answers(played[name], [one.wall for one in times])
            for name, times in spent.items()
        },
        "ratio": common.ratio(spent["baseline"], spent["ours"]),
    }


Play = Callable[[int, int], list[Any]]  # number of episodes, seed -> episodes


def ours(session: Any) -> Play:
    """Self-play of the learner through our engine."""
    from benchmarks import chats

    session.publish()
    return lambda episodes, seed: chats.play(session, episodes, seed=seed)


def baseline(session: Any) -> Play:
    """The same players, answered by ``generate``; the model is another copy with the same adapter, wrapped by PEFT alone."""
    from dataclasses import replace

    from benchmarks import chats
    from benchmarks.generate import GenerateEngine
    from detente import models
    from detente.players.chat import ChatFormat
    from detente.policies import Policies

    config = session.config
    base = models.load(config.model, dtype=config.dtype, device=config.device)
    ends = ChatFormat(base.tokenizer).end_tokens
    model = _adapted(base.model, session)
    policies = Policies.of(config)
    engine: Any = GenerateEngine(model, base.tokenizer, ends)
    host = replace(session.hosts["main"], base=base, engine=engine, chats={})
    policies.learners["main"] = (host, config.learner("main").answer)
    other = replace(session, policies=policies)
    return lambda episodes, seed: chats.play(other, episodes, seed=seed)


def _adapted(model: Any, session: Any) -> Any:
    from peft import get_peft_model, set_peft_model_state_dict

    adapted = get_peft_model(model, session.learners["main"].lora, adapter_name="main").eval()
    set_peft_model_state_dict(adapted, dict(session.learners["main"].weights()), adapter_name="main")
    return adapted


def answers(repeats: Sequence[Sequence[Any]], wall: Sequence[float]) -> dict[str, float]:
    """How much was read and written: means over all repeats; tokens per second counts generated tokens alone."""
    turns = [turn for episodes in repeats for episode in episodes for turn in episode.turns()]
    generated = sum(len(turn.completion.tokens) for turn in turns)
    found = {
        "turns": len(turns) / len(repeats),
        "prompt_tokens": sum(len(turn.completion.prompt_tokens) for turn in turns) / len(repeats),
        "generated_tokens": generated / len(repeats),
        "tokens_per_s": generated / sum(wall),
        "valid": sum(turn.valid for turn in turns) / len(turns),
    }
    for phase in ("message", "decision"):
        lengths = [len(turn.completion.tokens) for turn in turns if turn.phase == phase]
        if lengths:
            found[f"{phase}_tokens"] = sum(lengths) / len(lengths)
    return found


def tables(figures: dict[str, Any]) -> list[Table]:
    """Speed, and whether both did the same work."""
    rows = []
    for row in figures["rows"]:
        own, plain = row["variants"]["ours"], row["variants"]["baseline"]
        lengths = [f"{_length(one, 'message')}, {_length(one, 'decision')}" for one in (own, plain)]
        rows.append([
            f"{row['game']}, {row['model']}, {row['dtype']}",
            f"{row['episodes']} x {row['rounds']}",
            between(own["wall_s"]),
            between(plain["wall_s"]),
            between(row["ratio"]),
            digits(own["tokens_per_s"]),
            digits(plain["tokens_per_s"]),
            lengths[0],
            lengths[1],
            size(own["peak_bytes"]),
            size(plain["peak_bytes"]),
        ])  # fmt: skip
    columns = ["rollout", "episodes x rounds", "ours, s", "baseline, s", "times as fast", "ours, tokens/s", "baseline, tokens/s"]
    more = ["ours, tokens per message, decision", "baseline, the same", "ours, peak memory", "baseline, peak memory"]
    return [Table("Seconds per rollout, median (least to greatest)", [*columns, *more], rows)]


def _length(found: dict[str, float], phase: str) -> str:
    return digits(found[f"{phase}_tokens"]) if f"{phase}_tokens" in found else "-"
